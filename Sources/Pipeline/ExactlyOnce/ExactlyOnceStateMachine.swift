internal import SinkThreads

/// Exactly once, for all partitions that one Kafka handle has: when to commit what, when a block may be sent, what an
/// uncertain outcome leads to. A value: no clock, thread or socket; its methods return what to do, in order.
///
/// A block's identity, its intent, is in the group's commit before the block is sent; whoever owns the partition after
/// whatever happens makes the same block again under the same token, and ClickHouse drops it if it has it. The rules are
/// in docs/DELIVERY.md.
struct ExactlyOnceStateMachine: Sendable {
  enum CommitAnswer: Sendable, Equatable {
    /// Written, and no copy of it can land later.
    case known
    /// Not written, or not for all of the partitions; no copy can land later.
    case refused
    /// It may be written, now or later.
    case unknown
  }

  enum InsertResult: Sendable, Equatable {
    case accepted
    /// For its data. `isCertain`: no attempt before had an unknown outcome.
    case refused(isCertain: Bool)
    /// Its time was over before it was accepted.
    case expired
  }

  /// Where a partition's open block ends.
  struct Cut: Sendable, Equatable {
    let partition: Int
    /// The last offset that was read, with a row or without.
    let last: Int64
    let rows: Int
  }

  private struct Issued: Sendable {
    struct Part: Sendable {
      let partition: Int
      let snapshot: PartitionDelivery.Snapshot
      let intents: [Intent]
    }
    let parts: [Part]
    let sentAt: MonotonicInstant
  }

  private enum Slot: Sendable {
    case free
    case issued(Issued)
    /// Refused; what the group holds of it is to be read before anything else.
    case doubtful(Issued)
  }

  private struct Drain: Sendable {
    var partitions: Set<Int>
    /// When what has not landed is left to the next owner: the last commit must be known before the deadline.
    let givesUpAt: MonotonicInstant
    let isEnd: Bool
    var hasGivenUp = false
  }

  let rules: DeliveryRules
  var partitions: [Int: PartitionDelivery] = [:]
  private var slot = Slot.free
  private var drain: Drain?
  /// Nothing is read or committed before.
  private var nextTry = MonotonicInstant(nanoseconds: .min)
  /// When the group was last asked what it holds. The process may be suspended before the answer is heard.
  private var askedAt = MonotonicInstant(nanoseconds: .min)
  private var nextLazyCommit = MonotonicInstant(nanoseconds: .min)
  private var knownSentAt: MonotonicInstant?
  var lastNumber = 0
  /// The shared block whose parts are being read again.
  var gathering: Int?

  init(rules: DeliveryRules) { self.rules = rules }

  /// Until when inserts may be sent: as long as the broker cannot have ended our session.
  var lease: MonotonicInstant {
    guard let knownSentAt else { return MonotonicInstant(nanoseconds: .min) }
    return knownSentAt + (rules.session - rules.leaseMargin)
  }

  // MARK: The group

  mutating func assigned(_ new: [(id: Int, target: DeliveryTarget)], nonce: UInt64, _ now: Moment) -> [DeliveryAction] {
    for (id, target) in new { partitions[id] = PartitionDelivery(target: target, nonce: nonce) }
    return advance(now)
  }

  /// Asked back: what is sealed lands, the last commit says so, then they go.
  mutating func revoked(_ ids: [Int], deadline: MonotonicInstant, _ now: Moment) -> [DeliveryAction] {
    startDrain(ids, deadline: deadline, isEnd: false)
    return advance(now)
  }

  mutating func stopping(deadline: MonotonicInstant, _ now: Moment) -> [DeliveryAction] {
    startDrain(Array(partitions.keys), deadline: deadline, isEnd: true)
    return advance(now)
  }

  private mutating func startDrain(_ ids: [Int], deadline: MonotonicInstant, isEnd: Bool) {
    let all = Set(ids).union(drain?.partitions ?? [])
    let givesUpAt = deadline + (.zero - rules.giveUpMargin)
    drain = Drain(
      partitions: all, givesUpAt: min(givesUpAt, drain?.givesUpAt ?? givesUpAt), isEnd: isEnd || drain?.isEnd == true)
    for id in all { partitions[id]?.isDraining = true }
  }

  /// Gone already, with no commit of ours to be accepted: everything goes, also the handle, in which commits may wait
  /// that would leave under the name of a later membership.
  mutating func lost() -> [DeliveryAction] { renew() }

  private mutating func renew() -> [DeliveryAction] {
    let held = Set(partitions.values.flatMap(\.heldNumbers))
    var cancels = held.sorted().map { DeliveryAction.cancel(block: $0) }
    partitions = [:]
    gathering = nil
    slot = .free
    drain = nil
    knownSentAt = nil
    nextTry = MonotonicInstant(nanoseconds: .min)
    cancels.append(.renew)
    return cancels
  }

  // MARK: What the group holds

  /// - Parameter start: where to begin reading where the group holds nothing.
  mutating func offsetsRead(
    _ found: [(id: Int, held: PartitionDelivery.Snapshot?, start: Int64)], _ now: Moment
  ) -> [DeliveryAction] {
    var actions: [DeliveryAction] = []
    var attempted: [Int: Issued.Part] = [:]
    if case .doubtful(let issued) = slot {
      for part in issued.parts { attempted[part.partition] = part }
      slot = .free
    }
    for (id, held, start) in found {
      guard var partition = partitions[id] else { continue }
      do throws(DeliveryFault) {
        switch partition.phase {
        case .reading: try takeOver(&partition, held, start)
        case .claiming, .active:
          if let part = attempted[id], part.snapshot == held {
            know(part, of: &partition, now)
          } else if partition.written == held {
            if partition.phase == .claiming, attempted[id] != nil { partition.claimRefused(now) }
          } else if partition.phase == .claiming {
            // Somebody wrote after we had read, and our claim was refused: look again.
            partition = PartitionDelivery(target: partition.target, nonce: partition.nonce)
            try takeOver(&partition, held, start)
          } else if partition.isSuperseded(by: held) {
            return renew()
          } else {
            throw .foreignCommit(offset: held?.offset, metadata: held?.metadata ?? "")
          }
        case .stopped: break
        }
        partition.verified(askedAt)
        partitions[id] = partition
      } catch {
        partitions[id] = partition
        actions += stop(id, error)
      }
    }
    return actions + advance(now)
  }

  /// The ids of the topics of these partitions, asked for after what the group holds: to be told before that.
  mutating func identified(_ logs: [(id: Int, lineage: UInt64)], _ now: Moment) -> [DeliveryAction] {
    var actions: [DeliveryAction] = []
    for (id, lineage) in logs where partitions[id]?.phase != .stopped {
      do throws(DeliveryFault) {
        try partitions[id]?.identify(lineage)
      } catch {
        actions += stop(id, error)
      }
    }
    return actions
  }

  mutating func readFailed(_ now: Moment) -> [DeliveryAction] {
    nextTry = now.monotonic + .milliseconds(200)
    return []
  }

  mutating func committed(_ answer: CommitAnswer, _ now: Moment) -> [DeliveryAction] {
    guard case .issued(let issued) = slot else { return [] }
    slot = .free
    switch answer {
    case .known:
      knownSentAt = issued.sentAt
      for part in issued.parts {
        guard var partition = partitions[part.partition] else { continue }
        know(part, of: &partition, now)
        partitions[part.partition] = partition
      }
    case .refused:
      slot = .doubtful(issued)
      nextTry = now.monotonic + .milliseconds(100)
    case .unknown: return renew()
    }
    return advance(now)
  }

  private func know(_ part: Issued.Part, of partition: inout PartitionDelivery, _ now: Moment) {
    partition.know(part.snapshot, part.intents)
    if partition.phase == .claiming { partition.claimed(now, rules) }
  }

  // MARK: Blocks

  /// A block of all that was read of these partitions since the block before; of several, of one table, each with rows.
  /// - Returns: the block's number, and what to do.
  mutating func sealed(_ cuts: [Cut], _ now: Moment) -> (block: Int, [DeliveryAction]) {
    precondition(cuts.count == 1 || cuts.allSatisfy { $0.rows > 0 }, "a part of a shared block has no row")
    lastNumber += 1
    let number = lastNumber
    let tokens = cuts.map { cut in
      guard let partition = partitions[cut.partition], partition.reader == .cut else {
        preconditionFailure("partition \(cut.partition) is not to be cut")
      }
      return partition.token(through: cut.last)
    }
    let token = tokens.count == 1 ? tokens[0] : DeduplicationToken(combining: tokens)
    for cut in cuts {
      partitions[cut.partition]?.append(
        through: cut.last, rows: cut.rows, number: number, token: token, parts: cuts.count)
    }
    return (number, advance(now))
  }

  /// The block that `read` asked for: every record of its range. Of a shared block it is one partition's part; once all
  /// are there, `insert` means them together.
  /// - Returns: the block's number, and what to do.
  mutating func collected(_ id: Int, rows: Int, _ now: Moment) -> (block: Int, [DeliveryAction]) {
    guard var partition = partitions[id], case .replay(let number) = partition.reader,
      let index = partition.blocks.firstIndex(where: { $0.number == number })
    else { preconditionFailure("partition \(id) has nothing to be read again") }
    do throws(DeliveryFault) {
      try partition.hold(index, rows: rows)
      partitions[id] = partition
    } catch {
      return (number, [.cancel(block: number)] + stop(id, error) + advance(now))
    }
    return (number, advance(now))
  }

  /// The log ends at `end`, which is not beyond the block that `read` asked for.
  mutating func truncated(_ id: Int, _ now: Moment) -> [DeliveryAction] {
    guard let partition = partitions[id], case .replay(let number) = partition.reader,
      let block = partition.blocks.first(where: { $0.number == number })
    else { return [] }
    return stop(id, .truncated(block.intent)) + advance(now)
  }

  /// The log ends at `logEnd`, before what was to be read.
  mutating func beyondLog(_ id: Int, logEnd: Int64, _ now: Moment) -> [DeliveryAction] {
    guard let partition = partitions[id], partition.phase == .active else { return [] }
    guard partition.reader == .cut else { return truncated(id, now) }
    return stop(id, .beyondLog(next: partition.position, logEnd: logEnd)) + advance(now)
  }

  /// The log begins at `logStart` now, behind what was to be read.
  mutating func outOfRange(_ id: Int, logStart: Int64, _ now: Moment) -> [DeliveryAction] {
    guard var partition = partitions[id], partition.phase == .active else { return [] }
    guard case .replay(let number) = partition.reader,
      let index = partition.blocks.firstIndex(where: { $0.number == number }), partition.blocks[index].isUncertain
    else { return stop(id, .lostToRetention(next: partition.frontier, logStart: logStart)) + advance(now) }
    // It cannot be made again: perhaps it has landed.
    partition.blocks[index].logStart = logStart
    partition.resolve(index, now, rules)
    partition.reader = .none
    partitions[id] = partition
    return advance(now)
  }

  mutating func inserted(_ number: Int, _ result: InsertResult, _ now: Moment) -> [DeliveryAction] {
    let parts = partitions.keys.sorted().compactMap { id -> (id: Int, index: Int)? in
      guard let partition = partitions[id], partition.phase == .active,
        let index = partition.blocks.firstIndex(where: { $0.number == number && $0.stage == .inserting })
      else { return nil }
      return (id, index)
    }
    // What a former owner may have sent is in doubt whatever becomes of our own attempts.
    let isCertain =
      result == .refused(isCertain: true)
      && parts.allSatisfy { partitions[$0.id]?.blocks[$0.index].isUncertain == false }
    var actions: [DeliveryAction] = []
    for (id, index) in parts { actions += end(id, index, result, isCertain: isCertain, now) }
    return parts.isEmpty ? [] : actions + advance(now)
  }

  private mutating func end(
    _ id: Int, _ index: Int, _ result: InsertResult, isCertain: Bool, _ now: Moment
  ) -> [DeliveryAction] {
    guard var partition = partitions[id] else { return [] }
    let intent = partition.blocks[index].intent
    if result == .accepted {
      partition.finish(index)
    } else if isCertain, !intent.isDead {
      if intent.isShared {
        partition.startAgain(index, number: &lastNumber)
      } else {
        partition.split(index, number: &lastNumber)
      }
    } else {
      partition.blocks[index].isRefused = result != .expired && !intent.isDead
      partition.resolve(index, now, rules)
    }
    partitions[id] = partition
    return isCertain && partition.makeSnapshot(now, rules) == nil ? stop(id, .tooManyIntents) : []
  }

  /// - Parameters:
  ///   - rows: how many different offsets of the range the table has; nil where it cannot say.
  ///   - deadLetters: how many the dead letter table has. They land first, and those that are there are not sent again,
  ///     so that they alone are no half-done block.
  mutating func counted(
    _ id: Int, block number: Int, rows: Int?, deadLetters: Int = 0, _ now: Moment
  ) -> [DeliveryAction] {
    guard var partition = partitions[id], let index = partition.blocks.firstIndex(where: { $0.number == number }),
      case .counting(let notBefore, let isLast) = partition.blocks[index].stage
    else { return [] }
    let block = partition.blocks[index]
    guard let rows else { return stop(id, .cannotCount(block.intent)) + advance(now) }
    if rows + deadLetters >= block.intent.rows {
      if rows > 0, partition.target.hasViews { return stop(id, .viewsInDoubt(block.intent)) + advance(now) }
      partition.finish(index)
    } else if !isLast {
      partition.blocks[index].stage = .resolving(notBefore: notBefore)
    } else if rows > 0, !partition.target.isCounted {
      return stop(id, .partlyThere(block.intent, found: rows + deadLetters)) + advance(now)
    } else if let logStart = block.logStart {
      return stop(id, .lostToRetention(next: block.intent.first, logStart: logStart)) + advance(now)
    } else {
      partition.startAgain(index, number: &lastNumber)
      if block.isRefused, !block.intent.isShared {
        partition.split(index, number: &lastNumber)
        if partition.makeSnapshot(now, rules) == nil {
          partitions[id] = partition
          return stop(id, .tooManyIntents)
        }
      }
    }
    partitions[id] = partition
    return advance(now)
  }

  private mutating func stop(_ id: Int, _ fault: DeliveryFault) -> [DeliveryAction] {
    guard partitions[id]?.phase != .stopped else { return [] }
    let held = partitions[id]?.heldNumbers ?? []
    partitions[id]?.phase = .stopped
    partitions[id]?.reader = .none
    return held.map { .cancel(block: $0) } + [.pause(id), .stopped(id, fault)]
  }

  /// The table remembers tokens for so long, as is measured now.
  mutating func remembers(_ id: Int, _ horizon: Duration) { partitions[id]?.target.horizon = horizon }

  // MARK: Time

  mutating func tick(_ now: Moment) -> [DeliveryAction] { advance(now) }

  /// When `tick` has something to do that only time holds back; nil where nothing is.
  var nextDeadline: MonotonicInstant? {
    var deadline = MonotonicInstant(nanoseconds: .max)
    var isSpeaking = false
    if case .issued = slot { isSpeaking = true }
    if case .doubtful = slot { deadline = nextTry }
    for partition in partitions.values where partition.phase != .stopped {
      for block in partition.blocks {
        if case .resolving(let notBefore) = block.stage { deadline = min(deadline, notBefore) }
      }
      guard !isSpeaking else { continue }
      if partition.phase == .active {
        if partition.needsReadingBack(gathering: gathering) { deadline = min(deadline, nextTry) }
        let isUrgent = partition.hasUndeclared(rules) || partition.isDraining
        if partition.isDirty { deadline = min(deadline, isUrgent ? nextTry : max(nextTry, nextLazyCommit)) }
        if let knownSentAt { deadline = min(deadline, max(nextTry, knownSentAt + rules.session / 3)) }
      } else if !partition.isDraining {
        deadline = min(deadline, max(nextTry, partition.claimNotBefore))
      }
    }
    if let drain, !drain.hasGivenUp { deadline = min(deadline, drain.givesUpAt) }
    return deadline.nanoseconds == .max ? nil : deadline
  }

  /// Everything that is possible now.
  private mutating func advance(_ now: Moment) -> [DeliveryAction] {
    var actions: [DeliveryAction] = []
    let ids = partitions.keys.sorted()
    giveUpLateDrain(now, &actions)
    settleShared(now, &actions)
    for id in ids { work(id, now, &actions) }
    speakToGroup(ids, now, &actions)
    finishDrain(&actions)
    return actions
  }

  private mutating func work(_ id: Int, _ now: Moment, _ actions: inout [DeliveryAction]) {
    guard var partition = partitions[id], partition.phase == .active else { return }
    for index in partition.blocks.indices {
      let block = partition.blocks[index]
      switch block.stage {
      case .waiting where block.isDeclared && block.isConfirmed && block.isHeld && !block.intent.isShared:
        partition.blocks[index].stage = .inserting
        actions.append(
          .insert(block: block.number, token: block.intent.token, notAfter: partition.lastSend(block.intent, now)))
      case .resolving(let notBefore) where notBefore <= now.monotonic || !block.isProbed:
        partition.blocks[index].stage = .counting(notBefore: notBefore, isLast: notBefore <= now.monotonic)
        partition.blocks[index].isProbed = true
        actions.append(.count(id, block: block.number, first: block.intent.first, last: block.intent.last))
      default: break
      }
    }
    let wanted = partition.wantedReader(gathering: gathering)
    if !partition.isAssigned {
      partition.isAssigned = true
      actions.append(.assign(id, offset: partition.frontier))
      if wanted == .none { actions.append(.pause(id)) }
    }
    if wanted != partition.reader {
      partition.reader = wanted
      switch wanted {
      case .none: actions.append(.pause(id))
      case .cut: actions.append(.read(id, from: partition.position, through: nil, isDead: false))
      case .replay(let number):
        guard let block = partition.blocks.first(where: { $0.number == number }) else { break }
        actions.append(
          .read(id, from: block.intent.first, through: block.intent.last, isDead: block.intent.isDead))
      }
    }
    partitions[id] = partition
  }

  // MARK: Speaking to the group

  private mutating func speakToGroup(_ ids: [Int], _ now: Moment, _ actions: inout [DeliveryAction]) {
    if case .issued = slot { return }
    guard now.monotonic >= nextTry else { return }
    let alive = ids.filter { partitions[$0]?.phase != .stopped }
    if case .doubtful = slot {
      ask(alive, now, &actions)
      return
    }
    let unread = alive.filter { partitions[$0]?.phase == .reading && partitions[$0]?.isDraining == false }
    if !unread.isEmpty {
      ask(unread, now, &actions)
      return
    }
    let due = duePartitions(alive, now)
    let isStale = due.contains {
      partitions[$0].map { now.monotonic > $0.verifiedAt + rules.verifyInterval } ?? false
    }
    if isStale || alive.contains(where: { partitions[$0]?.needsReadingBack(gathering: gathering) == true }) {
      ask(alive.filter { partitions[$0]?.phase != .reading }, now, &actions)
      return
    }
    guard !due.isEmpty else { return }
    commit(due, now, &actions)
  }

  private mutating func ask(_ ids: [Int], _ now: Moment, _ actions: inout [DeliveryAction]) {
    askedAt = now.monotonic
    actions.append(.readOffsets(ids))
  }

  /// Those to be committed now, all in one request: nobody's change waits if somebody's cannot.
  private func duePartitions(_ alive: [Int], _ now: Moment) -> [Int] {
    var dirty: [Int] = []
    var isDue = false
    for id in alive {
      guard let partition = partitions[id] else { continue }
      switch partition.phase {
      case .claiming where !partition.isDraining && now.monotonic >= partition.claimNotBefore:
        dirty.append(id)
        isDue = true
      case .active where partition.isDirty:
        dirty.append(id)
        isDue = isDue || partition.hasUndeclared(rules) || partition.isDraining
      default: continue
      }
    }
    if isDue || (!dirty.isEmpty && now.monotonic >= nextLazyCommit) { return dirty }
    // Librdkafka does not tell of heartbeats: the last commit is repeated to know that our session lives.
    if let knownSentAt, now.monotonic >= knownSentAt + rules.session / 3,
      let any = alive.first(where: { partitions[$0]?.phase == .active })
    {
      return [any]
    }
    return []
  }

  private mutating func commit(_ ids: [Int], _ now: Moment, _ actions: inout [DeliveryAction]) {
    var parts: [Issued.Part] = []
    for id in ids {
      guard var partition = partitions[id] else { continue }
      guard let (snapshot, intents) = partition.makeSnapshot(now, rules) else {
        actions += stop(id, .tooManyIntents)
        continue
      }
      partitions[id] = partition
      parts.append(Issued.Part(partition: id, snapshot: snapshot, intents: intents))
    }
    guard !parts.isEmpty else { return }
    slot = .issued(Issued(parts: parts, sentAt: now.monotonic))
    nextLazyCommit = now.monotonic + rules.commitInterval
    actions.append(
      .commit(
        parts.map {
          DeliveryCommit(partition: $0.partition, offset: $0.snapshot.offset, metadata: $0.snapshot.metadata)
        }))
  }
}

// MARK: - Drains

extension ExactlyOnceStateMachine {
  /// What has not landed by now is left to the next owner, as intents.
  private mutating func giveUpLateDrain(_ now: Moment, _ actions: inout [DeliveryAction]) {
    guard let drain, !drain.hasGivenUp, now.monotonic >= drain.givesUpAt else { return }
    self.drain?.hasGivenUp = true
    for id in drain.partitions.sorted() where partitions[id]?.phase == .active {
      actions += (partitions[id]?.heldNumbers ?? []).map { .cancel(block: $0) }
      partitions[id]?.giveUp()
    }
  }

  private mutating func finishDrain(_ actions: inout [DeliveryAction]) {
    guard case .free = slot, let drain else { return }
    let isDone = drain.partitions.allSatisfy { id in
      guard let partition = partitions[id], partition.phase == .active else { return true }
      return !partition.hasWork && !partition.isDirty
    }
    guard isDone else { return }
    self.drain = nil
    for id in drain.partitions { partitions[id] = nil }
    if !drain.partitions.isEmpty { actions.append(.unassign(drain.partitions.sorted())) }
    if drain.isEnd { actions.append(.finish) }
  }
}
