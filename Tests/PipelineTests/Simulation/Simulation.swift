import SinkThreads

@testable import Pipeline

/// What one schedule may do, and which rule is switched off in it. Everything follows from the seed.
struct SimulationPlan {
  /// Negative controls: one rule is broken around the state machine, which itself knows nothing of it.
  enum Breakage: CaseIterable {
    case none
    /// ClickHouse ignores tokens.
    case tokens
    /// Blocks are sent without waiting for their intents.
    case intents
    /// Whatever librdkafka reports of a commit is believed, and one without an answer is repeated.
    case dropOnUnknown
    /// Partitions are read without their claim being written.
    case claim
    /// Blocks are sent whether or not the session can be over.
    case lease
    /// The deduplication horizon is taken for endless.
    case windowGuard
    /// What the group holds is not read back.
    case readBack
    /// Topics' ids are not asked for where they could be.
    case identity
    /// Who sees some parts of a shared block takes them for the whole block.
    case parts
    /// A request that was written for some of its partitions is taken for known.
    case partial
    /// What is in doubt counts as not there.
    case countNone
    /// What is in doubt counts as there.
    case countAll
    /// Who counts does not wait until inserts of former owners cannot land any more.
    case silence
  }

  var breakage = Breakage.none
  var processes = 2
  var partitions = 2
  var session = 6_000
  var insertDeadline = 8_000
  /// Of the table; a count instead of a time in some schedules.
  var horizon = 60_000
  var crashes = 0.0
  var stops = 0.0
  var longStops = 0.4
  var longestStop = 140_000
  var cuts = 0.0
  var lateCommits = 0.0
  var lostAnswers = 0.0
  var refusedCommits = 0.0
  var failedInserts = 0.0
  var lateInserts = 0.0
  var failedReads = 0.0
  var poison = 0.0
  var compaction = 0.0
  var remaking = 0.0
  var retention = 0.0
  var foreignCommits = 0.0
  var deployments = 0.0
  /// How likely another partition's rows join a block.
  var sharing = 0.0
  /// An insert of which only one table partition's rows land.
  var cutInserts = 0.0
  var startsLatest = false
  /// librdkafka and the brokers know topics' ids.
  var knowsTopics = false
  var activeMilliseconds = 40_000

  /// - Parameter focus: a rule that the schedule should put to the test.
  ///
  /// Each schedule has some faults often and the others not at all: mixtures of everything find less.
  init(seed: UInt64, breakage: Breakage = .none, focus: Breakage = .none) {
    var random = ModelRandom(seed: seed ^ 0x5151)
    self.breakage = breakage
    func some(_ probability: Double, _ value: Double, _ random: inout ModelRandom) -> Double {
      random.chance(probability) ? value : 0
    }
    processes = random.chance(0.2) ? 1 : random.chance(0.2) ? 3 : 2
    partitions = random.between(1, 4)
    horizon = random.chance(0.5) ? 60_000 : 120_000
    crashes = some(0.6, 0.04, &random)
    stops = some(0.5, 0.03, &random)
    cuts = some(0.3, 0.02, &random)
    lateCommits = some(0.4, 0.08, &random)
    lostAnswers = some(0.4, 0.08, &random)
    refusedCommits = some(0.3, 0.08, &random)
    failedInserts = some(0.5, 0.15, &random)
    lateInserts = some(0.5, 0.15, &random)
    failedReads = some(0.3, 0.1, &random)
    poison = some(0.25, 0.06, &random)
    compaction = some(0.2, 0.05, &random)
    remaking = some(0.06, 0.02, &random)
    retention = some(0.06, 0.01, &random)
    foreignCommits = some(0.05, 0.01, &random)
    startsLatest = random.chance(0.15)
    deployments = some(0.25, 0.06, &random)
    sharing = some(0.7, random.chance(0.5) ? 1 : 0.6, &random)
    cutInserts = some(0.15, 0.05, &random)
    knowsTopics = random.chance(0.5)
    self.focus(on: focus)
  }

  private mutating func focus(on rule: Breakage) {
    switch rule {
    case .windowGuard:
      processes = 1
      crashes = 0.1
      horizon = 60_000
    case .lease:
      processes = 2
      partitions = 4
      sharing = 1
      crashes = 0
      deployments = 0.1
      stops = 0.1
      longStops = 0.9
      longestStop = 28_000
      horizon = 120_000
      failedInserts = 0.6
      lateInserts = 0.1
    case .parts, .countNone, .countAll:
      processes = 2
      partitions = 4
      sharing = 1
      crashes = 0.06
      failedInserts = 0.4
    case .partial:
      partitions = 4
      sharing = 1
      crashes = 0.06
      refusedCommits = 0.2
    case .readBack:
      remaking = 0.05
      startsLatest = false
      knowsTopics = false
    case .identity:
      processes = 2
      remaking = 0.05
      startsLatest = false
      knowsTopics = true
      stops = 0.2
      longStops = 0
      cuts = 0.1
      lateCommits = 0.3
    case .silence:
      processes = 2
      partitions = 4
      sharing = 1
      crashes = 0.08
      lateInserts = 0.5
      insertDeadline = 20_000
    default: break
    }
  }
}

/// A found violation, or what the schedule went through.
struct SimulationOutcome {
  var violation: String?
  var seen: [String: Int] = [:]
  var events = 0
}

/// One schedule on a virtual clock in milliseconds: brokers, ClickHouse, processes, and whatever happens to them.
final class Simulation {
  final class Event {
    let time: Int
    let order: Int
    /// -1: nobody's.
    let process: Int
    let life: Int
    let run: () -> Void

    init(time: Int, order: Int, process: Int, life: Int, run: @escaping () -> Void) {
      (self.time, self.order, self.process, self.life, self.run) = (time, order, process, life, run)
    }
  }

  let plan: SimulationPlan
  var random: ModelRandom
  var now = 0
  var broker: ModelBroker
  var table: ModelClickHouse
  var processes: [ModelProcess] = []
  var isHealed = false
  var violation: String?
  var seen: [String: Int] = [:]
  /// From where on the records of a log must be in the table: where the first reader began.
  var requiredFrom: [Int: (version: Int, offset: Int)] = [:]
  private var checkedTo: [Int: (version: Int, offset: Int)] = [:]
  /// Compacted or deleted before it was read, perhaps: in the table once or not at all.
  var optional: Set<ModelClickHouse.Row> = []
  /// Of the mapping that processes are started with from now on.
  var fingerprint: UInt64 = 1
  var handleCount = 0
  var trace: [String] = []
  let traces: Bool
  private var heap: [Event] = []
  private var order = 0

  init(
    seed: UInt64, breakage: SimulationPlan.Breakage = .none, focus: SimulationPlan.Breakage = .none,
    traces: Bool = false
  ) {
    plan = SimulationPlan(seed: seed, breakage: breakage, focus: focus)
    random = ModelRandom(seed: seed)
    self.traces = traces
    var logs: [ModelLog] = []
    for _ in 0..<plan.partitions {
      var log = ModelLog()
      log.append(random.between(0, 12), &random, poison: plan.poison)
      logs.append(log)
    }
    broker = ModelBroker(logs: logs)
    let counts = random.chance(0.3)
    table = ModelClickHouse(
      windowMilliseconds: counts ? Int.max : plan.horizon, windowCount: counts ? plan.horizon / 1000 * 16 : Int.max,
      ignoresTokens: plan.breakage == .tokens)
  }

  func note(_ what: String) { seen[what, default: 0] += 1 }

  func say(_ text: @autoclosure () -> String) {
    if traces { trace.append("\(now) \(text())") }
  }

  func fail(_ text: @autoclosure () -> String) {
    guard violation == nil else { return }
    violation = "at \(now): \(text())"
    say("VIOLATION \(text())")
  }

  func after(_ delay: Int, process: Int = -1, _ run: @escaping () -> Void) {
    order += 1
    push(
      Event(
        time: now + delay, order: order, process: process, life: process < 0 ? 0 : processes[process].life, run: run))
  }

  // MARK: The run

  func run() -> SimulationOutcome {
    for index in 0..<plan.processes {
      processes.append(ModelProcess(index: index, world: self))
      after(random.below(300), process: index) { [unowned self] in processes[index].start() }
    }
    scheduleFaults()
    after(plan.activeMilliseconds) { [unowned self] in heal() }
    var events = 0
    while violation == nil, let event = pop() {
      now = event.time
      events += 1
      if event.process >= 0 { processes[event.process].receive(event) } else { event.run() }
      if isHealed, events & 31 == 0, isDone { break }
      if now > plan.activeMilliseconds + 600_000 {
        fail("not done ten minutes after the last fault: \(summary)")
      }
      if events > 60_000 { fail("too many events: \(summary)") }
    }
    if violation == nil { judge() }
    return SimulationOutcome(violation: violation, seen: seen, events: events)
  }

  private var summary: String {
    processes.map(\.summary).joined(separator: "; ")
      + " held \(broker.held.mapValues(\.offset)), ends \(broker.logs.map(\.entries.count))"
  }

  /// Every partition is read to its end and committed, or stands still for a reason.
  private var isDone: Bool {
    broker.logs.indices.allSatisfy { partition in
      if processes.contains(where: { $0.isStopped(partition) }) { return true }
      guard let held = broker.held[partition] else { return false }
      let log = broker.logs[partition]
      let lastRead = log.entries.lastIndex { $0 != .gap }.map { $0 + 1 } ?? 0
      return held.offset >= min(lastRead, log.entries.count)
        && IntentMetadata(held.metadata, offset: held.offset)?.intents.isEmpty == true
    }
  }

  private func heal() {
    isHealed = true
    say("healed")
    // Whoever is down or suspended comes back in his own time: that can be after the horizon.
    for process in processes { process.wake() }
  }

  // MARK: The heap

  private func isBefore(_ left: Event, _ right: Event) -> Bool {
    left.time != right.time ? left.time < right.time : left.order < right.order
  }

  private func push(_ event: Event) {
    heap.append(event)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard isBefore(heap[child], heap[parent]) else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  private func pop() -> Event? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var parent = 0
    while true {
      let left = 2 * parent + 1
      guard left < heap.count else { break }
      let right = left + 1
      let child = right < heap.count && isBefore(heap[right], heap[left]) ? right : left
      guard isBefore(heap[child], heap[parent]) else { break }
      heap.swapAt(child, parent)
      parent = child
    }
    return first
  }
}

// MARK: - The oracle

extension Simulation {
  /// Whatever else is true: nothing is in the table twice, ever.
  func landed(_ rows: [ModelClickHouse.Row]) {
    for row in rows where table.count(row.partition, row.version, row.offset) > 1 {
      fail("offset \(row.offset) of partition \(row.partition) is in the table twice")
    }
  }

  /// Nothing below the group's offset is missing. What was there once stays.
  func checkHeld(_ partition: Int) {
    guard let held = broker.held[partition], let required = requiredFrom[partition] else { return }
    let log = broker.logs[partition]
    guard required.version == log.version, isOfThisLog(held) else { return }
    var from = required.offset
    if let seen = checkedTo[partition], seen.version == log.version { from = max(from, seen.offset) }
    let end = max(from, min(Int(held.offset), log.entries.count))
    checkedTo[partition] = (log.version, end)
    for offset in from..<end {
      guard isRequired(partition, log, offset), table.count(partition, log.version, offset) == 0 else { continue }
      fail("the group's offset of partition \(partition) is \(held.offset), but \(offset) is not in the table")
    }
  }

  /// A commit that has outlived its topic is nobody's progress: who takes it over sees that by the topic's id.
  private func isOfThisLog(_ held: ModelBroker.Held) -> Bool {
    guard plan.knowsTopics, plan.breakage != .identity,
      let lineage = IntentMetadata(held.metadata, offset: held.offset)?.lineage
    else { return true }
    return (lineage ^ broker.topicLineage) & DeliveryTarget.identityMask == 0
  }

  private func isRequired(_ partition: Int, _ log: ModelLog, _ offset: Int) -> Bool {
    guard log.entries[offset] == .record || log.entries[offset] == .poison else { return false }
    return optional.isEmpty
      || !optional.contains(.init(partition: partition, version: log.version, offset: offset))
  }

  /// Per offset: once, each of them.
  private func judge() {
    for partition in broker.logs.indices {
      let log = broker.logs[partition]
      let isStopped = processes.contains { $0.isStopped(partition) }
      guard let required = requiredFrom[partition], required.version == log.version else { continue }
      let declared = broker.held[partition].flatMap { IntentMetadata($0.metadata, offset: $0.offset) }?.intents ?? []
      var isMissing = false
      for offset in required.offset..<max(required.offset, log.entries.count) where isRequired(partition, log, offset) {
        let count = table.count(partition, log.version, offset)
        if count > 1 { return fail("offset \(offset) of partition \(partition) is in the table \(count) times") }
        if count == 0, !isStopped { return fail("offset \(offset) of partition \(partition) is lost") }
        isMissing = isMissing || count == 0
        // What the group's commit names may have landed before what lies below it.
        let isDeclared = declared.contains { $0.first...$0.last ~= Int64(offset) }
        if log.version > 0, isMissing, count == 1, !isDeclared, broker.isTopicThere {
          return fail("the new log of partition \(partition) is read from \(offset) on, what lies before is lost")
        }
      }
    }
  }
}
