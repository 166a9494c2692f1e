internal import SinkThreads
internal import Synchronization

/// Everything that a consumer's thread owns, and nobody else: handlers reach it through `ConsumerControl`. Effects that
/// would call the handler back are put into `deliveries`, which the loop empties.
final class ConsumerCore {
  enum Delivery {
    case assigned([TopicPartition])
    case revoked([TopicPartition], deadline: MonotonicInstant)
    case lost([TopicPartition])
    case committed(CommitID, CommitResult)
    case event(ConsumerEvent)
  }

  let configuration: KafkaConsumerConfiguration
  private let subscription: KafkaSubscription
  private let clock: TimeSource
  private let signals: RunSignals
  private var native: NativeConsumer
  private var rebalance: RebalanceStateMachine
  private var commits = CommitStateMachine()
  private var deliveries: [Delivery] = []
  private var incidents: [NativeConsumer.Incident] = []
  /// Stand still at an offset that the broker does not have; only unassign and assign revives them.
  private var outOfRange: Set<TopicPartition> = []
  private var paused: Set<TopicPartition> = []
  private var handles: UInt = 1
  private var commitNumber: UInt64 = 0
  private(set) var isFinished = false
  private(set) var wantsRenewal = false
  /// The handle can do no more.
  private(set) var fatalError: KafkaError?

  init(
    _ configuration: KafkaConsumerConfiguration, _ subscription: KafkaSubscription, _ signals: RunSignals,
    _ clock: TimeSource
  ) throws(KafkaError) {
    self.configuration = configuration
    self.subscription = subscription
    self.signals = signals
    self.clock = clock
    rebalance = RebalanceStateMachine(patience: configuration.revokeDeadline)
    native = try NativeConsumer(configuration, number: 0)
    native.open(signals.door)
  }

  var now: MonotonicInstant { clock.monotonic() }

  // MARK: The loop's side

  func start() throws(KafkaError) {
    switch subscription {
    case .topics(let names): try native.subscribe(names)
    case .assignment(let list):
      let partitions = list.map(\.partition)
      rebalance.offer(partitions)
      deliveries.append(.assigned(partitions))
    }
  }

  /// Polls once.
  /// - Returns: how many records `withBatch` lends.
  func poll(wait: Duration) -> Int {
    let taken = native.poll(wait: wait, signals.door)
    let records = taken > 0 ? native.split(taken, &incidents) : 0
    for note in native.callbacks.takeNotes() { take(note) }
    for incident in incidents { take(incident) }
    incidents.removeAll(keepingCapacity: true)
    return records
  }

  func withBatch(_ count: Int, _ body: (borrowing RecordBatch) -> Void) { native.withBatch(count, body) }

  var hasDeliveries: Bool { !deliveries.isEmpty }

  func nextDelivery() -> Delivery? { deliveries.isEmpty ? nil : deliveries.removeFirst() }

  var nextDeadline: MonotonicInstant? {
    guard let commit = commits.nextDeadline else { return rebalance.nextDeadline }
    return min(commit, rebalance.nextDeadline ?? commit)
  }

  /// What is due by the clock, and commits that may go out now.
  func serveTime() {
    let now = self.now
    report(commits.due(now))
    for overdue in rebalance.due(now) {
      switch overdue {
      case .answerOffer: attempt { () throws(KafkaError) in try native.assign([]) }
      case .takeBack(let all, let lost):
        end(all)
        attempt { () throws(KafkaError) in try native.unassign(all) }
        report(commits.lost(Set(all).union(lost)))
        deliveries.append(.lost(lost))
      }
    }
    issueCommits()
  }

  /// Replaces the handle; see `ConsumerControl.renew`.
  func performRenewal() throws(KafkaError) {
    wantsRenewal = false
    fatalError = nil
    report(commits.dropAll())
    let lost = rebalance.dropAll()
    outOfRange = []
    paused = []
    if !lost.isEmpty { deliveries.append(.lost(lost)) }
    signals.door.shut()
    native = try NativeConsumer(configuration, number: handles)
    handles += 1
    native.open(signals.door)
    try start()
  }

  /// Gives everything back and ends the membership.
  func close() {
    let lost = rebalance.dropAll()
    // An answer that librdkafka waits for would hold up the closing.
    if !lost.isEmpty { try? native.unassign([]) }
    report(commits.dropAll())
    signals.door.shut()
    if fatalError == nil { _ = native.close(by: now + configuration.closeDeadline, clock) }
  }

  /// What the handler must still hear when the run ends by an error.
  func abandon() {
    let lost = rebalance.dropAll()
    report(commits.dropAll())
    if !lost.isEmpty { deliveries.append(.lost(lost)) }
  }

  // MARK: What librdkafka said

  private func take(_ note: NativeCallbacks.Note) {
    switch note {
    case .given(let partitions):
      if rebalance.given(partitions, now) {
        attempt { () throws(KafkaError) in try native.assign([]) }
      } else {
        deliveries.append(.assigned(partitions))
      }
    case .askedBack(let partitions, isLost: true):
      let (known, lost) = rebalance.lost(partitions)
      end(known)
      attempt { () throws(KafkaError) in try native.unassign(known) }
      report(commits.lost(Set(lost)))
      deliveries.append(.lost(lost))
    case .askedBack(let partitions, isLost: false):
      deliveries.append(.revoked(partitions, deadline: rebalance.askedBack(partitions, now)))
    case .answered(let number, let error, let offsets):
      if let outcome = commits.answered(number, error, offsets, situation) { report([outcome]) }
    case .error(let error): deliveries.append(.event(.error(error, nil)))
    case .fatal(let error): fail(error)
    case .statistics(let json):
      if let statistics = ConsumerStatistics(json: json) { deliveries.append(.event(.statistics(statistics))) }
    }
  }

  private func take(_ incident: NativeConsumer.Incident) {
    switch incident {
    case .partitionEnd(let partition, let offset):
      deliveries.append(.event(.partitionEnd(partition, offset: offset)))
    case .outOfRange(let partition, let error):
      guard rebalance.assigned.contains(partition) else { return }
      outOfRange.insert(partition)
      deliveries.append(.event(.offsetOutOfRange(partition, error)))
    case .error(let error, let partition): deliveries.append(.event(.error(error, partition)))
    case .fatal(let error): fail(error)
    }
  }

  private func fail(_ error: KafkaError) {
    guard fatalError == nil else { return }
    fatalError = error
    deliveries.append(.event(error.code == .fenced ? .fenced(error) : .fatal(error)))
  }

  /// An answer to librdkafka that the handler did not ask for: a refusal is an event.
  private func attempt(_ body: () throws(KafkaError) -> Void) {
    do throws(KafkaError) { try body() } catch { deliveries.append(.event(.error(error, nil))) }
  }

  private func end(_ partitions: [TopicPartition]) {
    outOfRange.subtract(partitions)
    paused.subtract(partitions)
  }

  private func report(_ outcomes: [CommitStateMachine.Outcome]) {
    for (number, result) in outcomes { deliveries.append(.committed(CommitID(number: number), result)) }
  }

  private var situation: CommitStateMachine.Situation {
    CommitStateMachine.Situation(
      requestsSent: native.callbacks.commitRequests.load(ordering: .sequentiallyConsistent),
      generation: native.generation, epoch: rebalance.epoch)
  }

  private func issueCommits() {
    let isJoining = native.callbacks.isJoining.load(ordering: .sequentiallyConsistent)
    while let request = commits.next(isJoining: isJoining, situation) {
      do throws(KafkaError) {
        try native.commit(request.number, request.offsets)
      } catch {
        if let outcome = commits.failedToIssue(error) { report([outcome]) }
      }
    }
  }
}

// MARK: - The handler's side

extension ConsumerCore {
  var assignment: [TopicPartition] { Array(rebalance.assigned) }
  var epoch: UInt64 { rebalance.epoch }
  var memberID: String { native.memberID }
  var generation: Int32 { native.generation }

  func assign(_ partitions: [(TopicPartition, offset: Int64)]) throws(KafkaError) {
    guard !partitions.isEmpty else { return }
    try rebalance.check(partitions.map(\.0))
    for (partition, offset) in partitions where offset < 0 {
      throw KafkaError(code: .invalidArgument, message: "assign \(partition): offset \(offset) is negative")
    }
    try native.assign(partitions)
    rebalance.accepted(partitions.map(\.0))
  }

  func unassign(_ partitions: [TopicPartition]) throws(KafkaError) {
    for case .unassign(let list) in rebalance.release(partitions) {
      end(list)
      try native.unassign(list)
    }
  }

  func pause(_ partitions: [TopicPartition]) throws(KafkaError) {
    guard !partitions.isEmpty else { return }
    paused.formUnion(partitions)
    try native.pause(partitions)
  }

  func resume(_ partitions: [TopicPartition]) throws(KafkaError) {
    guard !partitions.isEmpty else { return }
    paused.subtract(partitions)
    try native.resume(partitions)
  }

  func seek(_ partition: TopicPartition, to offset: Int64) throws(KafkaError) {
    guard offset >= 0 else {
      throw KafkaError(code: .invalidArgument, message: "seek \(partition): offset \(offset) is negative")
    }
    guard outOfRange.contains(partition) else { return try native.seek(partition, to: offset) }
    try native.unassign([partition])
    try native.assign([(partition, offset: offset)])
    outOfRange.remove(partition)
    if paused.contains(partition) { try native.pause([partition]) }
  }

  func commit(_ offsets: [CommittedOffset], deadline: MonotonicInstant) -> CommitID {
    commitNumber += 1
    let id = CommitID(number: commitNumber)
    if let problem = Self.problem(offsets) {
      deliveries.append(.committed(id, .refused(problem, offsets)))
    } else {
      commits.enqueue(.init(number: commitNumber, offsets: offsets, deadline: deadline))
      issueCommits()
    }
    return id
  }

  private static func problem(_ offsets: [CommittedOffset]) -> KafkaError? {
    guard !offsets.isEmpty else { return KafkaError(code: .invalidArgument, message: "commit: no offsets given") }
    for offset in offsets {
      guard let value = offset.offset, value >= 0 else {
        return KafkaError(code: .invalidArgument, message: "commit \(offset.partition): no offset, or a negative one")
      }
      guard offset.metadata.utf8.allSatisfy({ 0x20...0x7e ~= $0 }) else {
        return KafkaError(
          code: .invalidArgument, message: "commit \(offset.partition): metadata must be printable ASCII")
      }
    }
    return nil
  }

  func committedOffsets(
    _ partitions: [TopicPartition], timeout: Duration
  ) throws(KafkaError) -> [CommittedOffset] {
    guard !partitions.isEmpty else { return [] }
    return try native.committed(partitions, timeout: timeout)
  }

  func watermarks(_ partition: TopicPartition, timeout: Duration) throws(KafkaError) -> (low: Int64, high: Int64) {
    try native.watermarks(partition, timeout: timeout)
  }

  func cachedWatermarks(_ partition: TopicPartition) -> (low: Int64, high: Int64)? {
    native.cachedWatermarks(partition)
  }

  func offsetForStart(_ partition: TopicPartition, timeout: Duration) throws(KafkaError) -> Int64 {
    var start = configuration.start
    if case .assignment(let list) = subscription, let own = list.first(where: { $0.partition == partition }) {
      switch own.start {
      case .offset(let offset): return offset
      case .earliest: start = .earliest
      case .latest: start = .latest
      case .committed:
        if let offset = try committedOffsets([partition], timeout: timeout).first?.offset { return offset }
      }
    }
    switch start {
    case .earliest: return try watermarks(partition, timeout: timeout).low
    case .latest: return try watermarks(partition, timeout: timeout).high
    case .error:
      throw KafkaError(
        code: .offsetOutOfRange,
        message: """
          group \(configuration.group) has no offset for \(partition) and start is `error`: \
          commit one, or start at earliest or latest
          """)
    }
  }

  func stop() { signals.requestStop() }
  func finish() { isFinished = true }
  func renew() { wantsRenewal = true }
}
