internal import SinkThreads

/// Which sealed block is sent when: first in, first out, at most so many in flight, failed ones again after their delay.
///
/// A value whose methods return what to do. A table whose insert has failed is left alone until its delay is over: a
/// server that is down or out of memory is asked by one block at a time, not by all that wait. A table whose inserts stand
/// still (no failure yet, no answer either) keeps one slot free for the others.
struct InsertQueueStateMachine: Sendable {
  typealias BlockID = PartitionLedger.HolderID

  /// What an insert's outcome means for its block.
  enum Verdict: Sendable, Equatable {
    case accepted
    /// The same bytes again, later: the server or the way to it failed, or nobody knows whether they landed.
    case retry
    /// Again and again until a person has mended it: a missing table, column, grant or password.
    case alarm
    /// As `alarm`, and each attempt may store the block's rows once more: the waits double without the usual ceiling, so
    /// that an outage of a day means some twenty repetitions, not thousands.
    case repeatsRows
    /// The data is at fault: to be split until the bad rows stand alone.
    case isolate
  }

  enum Action: Sendable, Equatable {
    /// The block has left the queue; its memory can go.
    case release
    case retryAt(MonotonicInstant, attempt: Int)
    /// The block has left the queue; its halves are to be added in its place, with `addFirst`.
    case split
  }

  private enum State: Sendable, Equatable {
    case waiting
    case inFlight
    case delayed(until: MonotonicInstant)
  }

  private struct Entry: Sendable {
    let id: BlockID
    let table: String
    var state = State.waiting
    var attempts = 0
  }

  /// Of the waits between attempts that may store rows again.
  private static let repeatCap = Duration.seconds(6 * 3600)

  let limitInFlight: Int
  let policy: RetryPolicy
  private var entries: [Entry] = []
  /// All that blocks have come for.
  private var tables: Set<String> = []
  private var gates: [String: (until: MonotonicInstant, prober: BlockID)] = [:]
  private(set) var inFlight = 0

  init(limitInFlight: Int, policy: RetryPolicy) {
    precondition(limitInFlight > 0)
    self.limitInFlight = limitInFlight
    self.policy = policy
  }

  var count: Int { entries.count }
  var isEmpty: Bool { entries.isEmpty }

  mutating func add(_ id: BlockID, table: String) {
    precondition(!entries.contains { $0.id == id }, "block \(id) is queued already")
    tables.insert(table)
    entries.append(Entry(id: id, table: table))
  }

  /// The parts of a split block, before everything else: however many rows are bad, only a few parts exist at a time.
  mutating func addFirst(_ ids: [BlockID], table: String) {
    precondition(!entries.contains { ids.contains($0.id) }, "a block of \(ids) is queued already")
    entries.insert(contentsOf: ids.map { Entry(id: $0, table: table) }, at: 0)
  }

  /// The blocks to send now, in order. They count as in flight from here on.
  mutating func takeReady(_ now: MonotonicInstant) -> [BlockID] {
    var ready: [BlockID] = []
    for index in entries.indices where inFlight < limitInFlight {
      switch entries[index].state {
      case .inFlight: continue
      case .delayed(let until): if now < until { continue }
      case .waiting: break
      }
      guard mayGo(entries[index]) else { continue }
      entries[index].state = .inFlight
      inFlight += 1
      ready.append(entries[index].id)
    }
    return ready
  }

  /// Whether nothing but time holds it back.
  private func mayGo(_ entry: Entry) -> Bool {
    if let gate = gates[entry.table], gate.prober != entry.id { return false }
    guard inFlight == limitInFlight - 1, tables.count > 1 else { return true }
    return !entries.contains { $0.table == entry.table && $0.state == .inFlight }
  }

  /// - Parameter random: uniform in 0 ..< 1, for the jitter.
  mutating func finished(_ id: BlockID, _ verdict: Verdict, _ now: MonotonicInstant, random: Double) -> Action {
    guard let index = entries.firstIndex(where: { $0.id == id }) else {
      preconditionFailure("block \(id) is not queued")
    }
    precondition(entries[index].state == .inFlight, "block \(id) was not in flight")
    inFlight -= 1
    let table = entries[index].table
    switch verdict {
    case .accepted, .isolate:
      entries.remove(at: index)
      gates[table] = nil
      return verdict == .accepted ? .release : .split
    case .retry, .alarm, .repeatsRows:
      entries[index].attempts += 1
      let attempt = entries[index].attempts
      let cap = verdict == .repeatsRows ? max(Self.repeatCap, policy.cap) : policy.cap
      let until = now + policy.delay(afterAttempt: attempt, random: random, cap: cap)
      entries[index].state = .delayed(until: until)
      // The oldest failure probes for the whole table; later ones of blocks that were in flight with it change nothing.
      if gates[table] == nil || gates[table]?.prober == id { gates[table] = (until, id) }
      return .retryAt(until, attempt: attempt)
    }
  }

  /// Not sent after all, for a reason that says nothing about its table: again at `until`.
  mutating func postpone(_ id: BlockID, until: MonotonicInstant) {
    guard let index = entries.firstIndex(where: { $0.id == id && $0.state == .inFlight }) else { return }
    inFlight -= 1
    entries[index].state = .delayed(until: until)
  }

  /// Leaves the queue, landed or not.
  mutating func remove(_ id: BlockID) {
    guard let index = entries.firstIndex(where: { $0.id == id }) else { return }
    let entry = entries.remove(at: index)
    if entry.state == .inFlight { inFlight -= 1 }
    if gates[entry.table]?.prober == id { gates[entry.table] = nil }
  }

  func isInFlight(_ id: BlockID) -> Bool { entries.contains { $0.id == id && $0.state == .inFlight } }

  /// When `takeReady` will next have something that only time holds back; nil where an answer must come first.
  var nextDeadline: MonotonicInstant? {
    guard inFlight < limitInFlight else { return nil }
    return entries.compactMap { entry in
      if case .delayed(let until) = entry.state, mayGo(entry) {
        until
      } else {
        nil
      }
    }.min()
  }
}
