internal import SinkThreads

/// Which partitions are offered, read, and asked back. A value: the consumer's thread carries out what it answers.
///
/// A rebalance is a rendezvous. librdkafka waits with the group until we answer an offer and give back what was asked
/// back; polling, and so the heartbeats, go on meanwhile. Both waits have a deadline here.
struct RebalanceStateMachine {
  /// How long an offer stays unanswered, and how long a drain may take.
  let patience: Duration
  private(set) var assigned: Set<TopicPartition> = []
  private(set) var offered: Set<TopicPartition> = []
  /// Grows whenever something that was ours may become another's.
  private(set) var epoch: UInt64 = 0
  /// Librdkafka waits for an assign call, even an empty one; nil: it does not.
  private var offerDeadline: MonotonicInstant?
  private var revocation: Revocation?

  private struct Revocation {
    var all: Set<TopicPartition>
    var remaining: Set<TopicPartition>
    var deadline: MonotonicInstant
  }

  init(patience: Duration) { self.patience = patience }

  var nextDeadline: MonotonicInstant? {
    guard let offerDeadline else { return revocation?.deadline }
    return min(offerDeadline, revocation?.deadline ?? offerDeadline)
  }

  /// Librdkafka waits for an assign call.
  var isOfferOpen: Bool { offerDeadline != nil }

  /// Librdkafka waits for an unassign call, and takes the first one, whatever it names, for the answer.
  var isRevoking: Bool { revocation != nil }

  func isOurs(_ partition: TopicPartition) -> Bool { assigned.contains(partition) || offered.contains(partition) }

  /// The group gives. Librdkafka needs an answer also to an empty list.
  /// - Returns: whether to answer with an empty assign call at once.
  mutating func given(_ partitions: [TopicPartition], _ now: MonotonicInstant) -> Bool {
    offered.formUnion(partitions)
    guard partitions.isEmpty else {
      offerDeadline = now + patience
      return false
    }
    return true
  }

  /// Manual assignment: nobody waits for an answer.
  mutating func offer(_ partitions: [TopicPartition]) { offered.formUnion(partitions) }

  /// The handler starts reading: checked before the native call, `accepted` after it.
  func check(_ partitions: [TopicPartition]) throws(KafkaError) {
    for partition in partitions where !offered.contains(partition) {
      let reason = assigned.contains(partition) ? "it is assigned already" : "the group has not given it to us"
      throw KafkaError(code: .invalidArgument, message: "assign \(partition): \(reason)")
    }
  }

  mutating func accepted(_ partitions: [TopicPartition]) {
    offered.subtract(partitions)
    assigned.formUnion(partitions)
    offerDeadline = nil
  }

  /// - Returns: the deadline for giving back.
  mutating func askedBack(_ partitions: [TopicPartition], _ now: MonotonicInstant) -> MonotonicInstant {
    epoch += 1
    offered.subtract(partitions)
    let deadline = revocation?.deadline ?? now + patience
    let all = Set(partitions).union(revocation?.all ?? [])
    revocation = Revocation(all: all, remaining: all, deadline: deadline)
    return deadline
  }

  enum Release: Equatable {
    /// Others of the same revocation are still held.
    case wait
    /// Answer the revocation by an unassign call with these; with none too.
    case giveBack([TopicPartition])
    /// Nobody asked for these: they stay offered.
    case unassign([TopicPartition])
  }

  /// The handler is done with these. What was asked back goes together; what was not, at once.
  mutating func release(_ partitions: [TopicPartition]) -> [Release] {
    var releases: [Release] = []
    let asked = revocation?.all ?? []
    let voluntary = partitions.filter { assigned.contains($0) && !asked.contains($0) }
    offered.subtract(partitions)
    if var current = revocation {
      current.remaining.subtract(partitions)
      revocation = current
      releases.append(current.remaining.isEmpty ? .giveBack(giveBack(current)) : .wait)
    }
    guard !voluntary.isEmpty else { return releases }
    assigned.subtract(voluntary)
    offered.formUnion(voluntary)
    return releases + [.unassign(voluntary)]
  }

  enum Overdue: Equatable {
    /// Answer the offer with an empty assign call.
    case answerOffer
    /// Call unassign with the first list; the second one was not released in time.
    case takeBack([TopicPartition], lost: [TopicPartition])
  }

  mutating func due(_ now: MonotonicInstant) -> [Overdue] {
    var overdue: [Overdue] = []
    if let deadline = offerDeadline, deadline <= now {
      offerDeadline = nil
      overdue.append(.answerOffer)
    }
    if let current = revocation, current.deadline <= now {
      let lost = current.remaining.sorted()
      overdue.append(.takeBack(giveBack(current), lost: lost))
    }
    return overdue
  }

  /// Taken without asking.
  /// - Returns: those to unassign now, and those that the handler must hear of.
  mutating func lost(_ partitions: [TopicPartition]) -> (unassign: [TopicPartition], lost: [TopicPartition]) {
    epoch += 1
    offerDeadline = nil
    let taken = Set(partitions).union(revocation?.all ?? [])
    revocation = nil
    let known = taken.intersection(assigned)
    let heard = taken.intersection(assigned.union(offered)).union(partitions)
    assigned.subtract(taken)
    offered.subtract(taken)
    return (known.sorted(), heard.sorted())
  }

  /// The handle goes away.
  /// - Returns: what was ours or offered.
  mutating func dropAll() -> [TopicPartition] {
    epoch += 1
    let all = assigned.union(offered).sorted()
    assigned = []
    offered = []
    offerDeadline = nil
    revocation = nil
    return all
  }

  private mutating func giveBack(_ current: Revocation) -> [TopicPartition] {
    let held = current.all.intersection(assigned)
    assigned.subtract(held)
    revocation = nil
    return held.sorted()
  }
}
