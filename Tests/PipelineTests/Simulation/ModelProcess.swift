import SinkThreads

@testable import KafkaClient
@testable import Pipeline

/// One process: the real state machine in a shell such as the pipeline is, on a model of librdkafka. It can be killed,
/// suspended and cut off from the broker at any event.
final class ModelProcess {
  struct Reader {
    let topicPartition: Int
    var position: Int
    var through: Int?
    var isDead = false
    var isPaused = true
    var open: [Int] = []
    /// The last record that was read since the last block, with a row or without.
    var last: Int?
  }

  struct HeldBlock {
    /// Tells it from a former one under its number.
    let serial: Int
    let placement: UInt64
    var rows: [ModelClickHouse.Row] = []
    var parts = 0
    var hasPoison = false
    var token: DeduplicationToken?
    var notAfter = MonotonicInstant(nanoseconds: 0)
    var hadUnknown = false
  }

  let index: Int
  unowned let world: Simulation
  var life = 0
  var isAlive = false
  var isSuspended = false
  /// Inside a call that waits for an answer.
  var isBlocked = false
  private var backlog: [Simulation.Event] = []
  var cutUntil = 0
  /// Of the mapping that it was started with.
  var fingerprint: UInt64 = 0
  var machine: ExactlyOnceStateMachine
  var handle: ModelHandle?
  /// Topic partitions by the machine's ids.
  var numbers: [Int: Int] = [:]
  var readers: [Int: Reader] = [:]
  var blocks: [Int: HeldBlock] = [:]
  private var stopped: Set<Int> = []
  private var todo: [DeliveryAction] = []
  private var isPerforming = false
  var isPolling = false
  private var wakeAt = Int.max
  private var lastID = 0
  var lastSerial = 0
  private var neverCommitted: Set<Int> = []
  /// Grows with every change between being heard by the coordinator and not.
  var silences = 0
  private let skewSeconds: Int

  init(index: Int, world: Simulation) {
    self.index = index
    self.world = world
    skewSeconds = world.random.between(-1, 1)
    machine = ExactlyOnceStateMachine(rules: Self.rules(world.plan))
  }

  private static func rules(_ plan: SimulationPlan) -> DeliveryRules {
    DeliveryRules(
      session: .milliseconds(plan.session), leaseMargin: .milliseconds(500),
      insertDeadline: .milliseconds(plan.breakage == .silence ? 0 : plan.insertDeadline))
  }

  var moment: Moment {
    Moment(
      monotonic: MonotonicInstant(nanoseconds: Int64(world.now) * 1_000_000),
      wallSeconds: Int64(1_700_000_000 + world.now / 1000 + skewSeconds))
  }

  var summary: String {
    let parts = machine.partitions.map { id, partition in
      "\(numbers[id] ?? -1): \(partition.phase) \(partition.reader) \(partition.blocks.map { "\($0.intent.first)-\($0.intent.last) \($0.stage)\($0.isHeld ? " held" : "")\($0.isDeclared ? " declared" : "")" })"
    }
    return "\(index)\(isAlive ? "" : " dead") \(parts)"
  }

  /// Whoever is suspended will hear that it is no longer his.
  func isStopped(_ topicPartition: Int) -> Bool { isAlive && !isSuspended && stopped.contains(topicPartition) }

  // MARK: Life

  func receive(_ event: Simulation.Event) {
    guard event.life == life, isAlive || life == 0 else { return }
    if isSuspended || isBlocked { backlog.append(event) } else { event.run() }
  }

  func start() {
    guard !isAlive else { return }
    isAlive = true
    life += 1
    fingerprint = world.fingerprint
    machine = ExactlyOnceStateMachine(rules: Self.rules(world.plan))
    openHandle()
  }

  func crash() {
    isAlive = false
    isSuspended = false
    life += 1
    forget()
    backlog = []
    isBlocked = false
    silent()
    handle = nil
  }

  private func forget() {
    numbers = [:]
    readers = [:]
    blocks = [:]
    stopped = []
    todo = []
    isPolling = false
    wakeAt = Int.max
  }

  func suspend() {
    isSuspended = true
    silent()
  }

  func resume() {
    isSuspended = false
    drainBacklog()
    reconnect()
  }

  private func drainBacklog() {
    while !isSuspended, !isBlocked, !backlog.isEmpty {
      let event = backlog.removeFirst()
      if event.life == life { event.run() }
    }
  }

  func later(_ delay: Int, _ run: @escaping () -> Void) { world.after(delay, process: index, run) }

  // MARK: The machine

  func perform(_ actions: [DeliveryAction]) {
    todo += actions
    guard !isPerforming, !isBlocked else { return }
    isPerforming = true
    while !todo.isEmpty, !isBlocked, isAlive { perform(todo.removeFirst()) }
    isPerforming = false
    if !isBlocked { scheduleWake() }
  }

  private func perform(_ action: DeliveryAction) {
    world.say("p\(index) \(action)")
    switch action {
    case .readOffsets(let ids): readOffsets(ids)
    case .commit(let commits): commit(commits)
    case .assign(let id, let offset):
      guard let number = numbers[id] else { return }
      readers[id] = Reader(topicPartition: number, position: Int(offset))
      let version = world.broker.logs[number].version
      if world.requiredFrom[number]?.version != version { world.requiredFrom[number] = (version, Int(offset)) }
    case .read(let id, let from, let through, let isDead):
      guard let number = numbers[id] else { return }
      readers[id] = Reader(
        topicPartition: number, position: Int(from), through: through.map { Int($0) }, isDead: isDead, isPaused: false)
      if through != nil { world.note(machine.gathering == nil ? "replay" : "replay of a shared block") }
      pollSoon()
    case .pause(let id): readers[id]?.isPaused = true
    case .insert(let block, let token, let notAfter):
      guard let held = blocks[block] else { return world.fail("an insert of a block that is not held") }
      blocks[block]?.token = token
      blocks[block]?.notAfter = notAfter
      if held.parts > 1 { world.note("a shared block is sent") }
      later(world.random.below(60)) { [unowned self] in trySend(block, held.serial) }
    case .count(let id, let block, let first, let last):
      guard let number = numbers[id] else { return }
      later(world.random.between(5, 50)) { [unowned self] in
        guard numbers[id] == number else { return }
        let version = world.broker.logs[number].version
        var rows = world.table.distinct(number, version, Int(first), Int(last))
        let counted = machine.partitions[id]?.blocks.first { $0.number == block }
        if counted?.intent.isShared == true { world.note("a part is counted") }
        world.note(rows == 0 ? "counted: none" : "counted: there")
        if world.plan.breakage == .countNone { rows = 0 }
        if world.plan.breakage == .countAll { rows = Int.max }
        perform(machine.counted(id, block: block, rows: rows, moment))
      }
    case .cancel(let block): blocks[block] = nil
    case .unassign(let ids):
      world.note("drained")
      let gone = Set(ids.compactMap { numbers[$0] })
      for id in ids {
        numbers[id] = nil
        readers[id] = nil
      }
      stopped.subtract(gone)
      giveBack(gone)
    case .finish:
      world.note("finished")
      leave()
    case .renew:
      world.note("renew")
      numbers = [:]
      readers = [:]
      blocks = [:]
      stopped = []
      openHandle()
    case .stopped(let id, let fault):
      world.note("stopped: \("\(fault)".prefix { $0 != "(" })")
      if fault == .tooManyIntents { world.fail("blocks that nobody refuses do not fit beside the offset") }
      if let number = numbers[id] { stopped.insert(number) }
    }
  }

  private func scheduleWake() {
    guard isAlive else { return }
    var due = Int.max
    for deadline in [machine.nextDeadline, handle?.commits.nextDeadline] {
      guard let deadline else { continue }
      due = min(due, Int((deadline.nanoseconds + 999_999) / 1_000_000))
    }
    guard due < Int.max else { return }
    due = max(due, world.now + 1)
    guard due < wakeAt || wakeAt <= world.now else { return }
    wakeAt = due
    later(due - world.now) { [unowned self] in
      if wakeAt <= world.now { wakeAt = Int.max }
      wake()
    }
  }

  func wake() {
    guard isAlive, !isSuspended, !isBlocked else { return }
    serveCommits()
    perform(machine.tick(moment))
  }

  // MARK: What the group says

  func assigned(_ new: Set<Int>) {
    var list: [(id: Int, target: DeliveryTarget)] = []
    for number in new.sorted() {
      lastID += 1
      numbers[lastID] = number
      neverCommitted.insert(lastID)
      list.append((lastID, target(number)))
    }
    perform(machine.assigned(list, nonce: world.random.next(), moment))
  }

  private func target(_ number: Int) -> DeliveryTarget {
    let horizon = world.plan.breakage == .windowGuard ? Duration.seconds(1 << 30) : .milliseconds(world.plan.horizon)
    return DeliveryTarget(
      origin: .init(topic: "t", partition: Int32(number), table: "d.t"), fingerprint: fingerprint, horizon: horizon,
      lineage: nil,
      freshLineage: world.random.next() >> 1)
  }

  func revoked(_ gone: Set<Int>, deadline: Int) {
    sealOpen(numbers.filter { gone.contains($0.value) }.map(\.key).sorted())
    let ids = numbers.filter { gone.contains($0.value) }.map(\.key).sorted()
    guard !ids.isEmpty else { return giveBack(gone) }
    perform(
      machine.revoked(ids, deadline: MonotonicInstant(nanoseconds: Int64(deadline) * 1_000_000), moment))
  }

  func lost() { perform(machine.lost()) }

  /// SIGTERM.
  func stopOrderly() {
    guard isAlive, !isSuspended, !isBlocked else { return }
    sealOpen(numbers.keys.sorted())
    perform(machine.stopping(deadline: moment.monotonic + .seconds(4), moment))
    later(5_000) { [unowned self] in leave() }
  }

  private func leave() {
    isAlive = false
    life += 1
    forget()
    backlog = []
    isBlocked = false
    silent()
    handle = nil
    world.after(world.random.between(100, 3_000)) { [unowned self] in start() }
  }

  private func readOffsets(_ ids: [Int]) {
    isBlocked = true
    let life = life
    let isCut = world.now < cutUntil
    world.after(isCut ? 400 : world.random.between(1, 25)) { [unowned self] in
      guard self.life == life, isAlive else { return }
      let fails = isCut || !world.isHealed && world.random.chance(world.plan.failedReads)
      let found = fails ? nil : find(ids)
      let known = identify(ids)
      let answer = { [unowned self] in
        isBlocked = false
        guard let found else {
          perform(machine.readFailed(moment))
          return
        }
        perform(machine.identified(known, moment) + machine.offsetsRead(found, moment))
      }
      if isSuspended {
        backlog.insert(
          Simulation.Event(time: world.now, order: 0, process: index, life: life, run: answer), at: 0)
        isBlocked = false
      } else {
        answer()
        drainBacklog()
      }
    }
  }

  /// nil where a new partition's start cannot be known.
  private func find(_ ids: [Int]) -> [(id: Int, held: PartitionDelivery.Snapshot?, start: Int64)]? {
    var list: [(id: Int, held: PartitionDelivery.Snapshot?, start: Int64)] = []
    for id in ids {
      guard let number = numbers[id], let partition = machine.partitions[id] else { continue }
      var held = world.broker.held[number].map { PartitionDelivery.Snapshot(offset: $0.offset, metadata: $0.metadata) }
      if partition.phase == .reading {
        guard world.broker.isTopicThere else { return nil }
        if world.plan.breakage == .parts { held = held.map(takingPartsForWholes) }
      } else {
        let isOurs = held.flatMap { IntentMetadata($0.metadata, offset: $0.offset) } != nil
        if world.plan.breakage == .readBack, !isOurs { held = partition.written }
        if world.plan.breakage == .claim, neverCommitted.contains(id) { held = partition.written }
      }
      let log = world.broker.logs[number]
      list.append((id, held, Int64(world.plan.startsLatest ? log.entries.count : log.start)))
    }
    return list
  }

  private func identify(_ ids: [Int]) -> [(id: Int, lineage: UInt64)] {
    guard world.plan.knowsTopics, world.plan.breakage != .identity, world.broker.isTopicThere else { return [] }
    return ids.map { ($0, world.broker.topicLineage) }
  }

  private func takingPartsForWholes(_ held: PartitionDelivery.Snapshot) -> PartitionDelivery.Snapshot {
    guard var metadata = IntentMetadata(held.metadata, offset: held.offset) else { return held }
    for index in metadata.intents.indices where metadata.intents[index].isShared {
      let token = metadata.intents[index].token
      metadata.intents[index].parts = numbers.values.count { number in
        world.broker.held[number]
          .flatMap { IntentMetadata($0.metadata, offset: $0.offset) }?.intents.contains { $0.token == token } == true
      }
    }
    return .init(offset: held.offset, metadata: metadata.encoded() ?? held.metadata)
  }

  // MARK: Commits

  private func commit(_ commits: [DeliveryCommit]) {
    if world.plan.breakage == .claim, commits.allSatisfy({ machine.partitions[$0.partition]?.phase == .claiming }) {
      return perform(machine.committed(.known, moment))
    }
    for commit in commits { neverCommitted.remove(commit.partition) }
    handle?.enqueue(
      commits.compactMap { commit in numbers[commit.partition].map { ($0, commit) } },
      by: moment.monotonic + .milliseconds(500))
  }

  func committed(_ answer: ExactlyOnceStateMachine.CommitAnswer) {
    world.note("commit \(answer)")
    world.say("p\(index) commit \(answer)")
    perform(machine.committed(answer, moment))
  }
}
