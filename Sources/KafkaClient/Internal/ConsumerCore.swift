internal import SinkThreads
internal import Synchronization

/// Everything that a consumer's thread owns, and nobody else: handlers reach it through `ConsumerControl`. Effects that
/// would call the handler back are put into `deliveries`, which the loop empties.
///
/// This half is what librdkafka and the clock bring; `ConsumerCore+Control` is what the handler asks for.
final class ConsumerCore {
  enum Delivery {
    case assigned([TopicPartition])
    case revoked([TopicPartition], deadline: MonotonicInstant)
    case lost([TopicPartition])
    case committed(CommitID, CommitResult)
    case event(ConsumerEvent)
  }

  enum Change {
    case unassign([TopicPartition])
    case assign([(TopicPartition, offset: Int64)])
  }

  let configuration: KafkaConsumerConfiguration
  let subscription: KafkaSubscription
  private let clock: TimeSource
  let signals: RunSignals
  var native: NativeConsumer
  var rebalance: RebalanceStateMachine
  var commits = CommitStateMachine()
  var deliveries: [Delivery] = []
  private var incidents: [NativeConsumer.Incident] = []
  /// Stand still at an offset that the broker does not have; only unassign and assign revives them.
  var outOfRange: Set<TopicPartition> = []
  var paused: Set<TopicPartition> = []
  /// Were paused when they were unassigned: librdkafka keeps that for the next assignment, which would never be read.
  var stalePauses: Set<TopicPartition> = []
  /// Changes of the assignment that nobody asked for wait while librdkafka would take them for an answer.
  var postponed: [Change] = []
  private var handles: UInt = 1
  var commitNumber: UInt64 = 0
  var isFinished = false
  var wantsRenewal = false
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
    case .topics(let names):
      guard !names.isEmpty, !names.contains("") else {
        throw KafkaError(
          code: .invalidArgument,
          message: "subscribe: name at least one topic, and none may be empty; they are \(names)")
      }
      try native.subscribe(names)
    case .assignment(let list):
      guard !list.isEmpty else {
        throw KafkaError(code: .invalidArgument, message: "assign: name at least one partition; there is none")
      }
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
        performPostponed()
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
    stalePauses = []
    postponed = []
    if !lost.isEmpty { deliveries.append(.lost(lost)) }
    signals.door.shut()
    native = try NativeConsumer(configuration, number: handles)
    handles += 1
    native.open(signals.door)
    try start()
  }

  /// Gives everything back and ends the membership.
  func close() {
    _ = letGo()
    signals.door.shut()
    if fatalError == nil { _ = native.close(by: now + configuration.closeDeadline, clock) }
  }

  /// What the handler must still hear when the run ends by an error.
  func abandon() {
    let lost = letGo()
    if !lost.isEmpty { deliveries.append(.lost(lost)) }
  }

  private func letGo() -> [TopicPartition] {
    // An answer that librdkafka waits for would hold up the closing; a refusal has no consequence any more.
    if rebalance.isOfferOpen { try? native.assign([]) }
    if rebalance.isRevoking { try? native.unassign([]) }
    postponed = []
    report(commits.dropAll())
    return rebalance.dropAll()
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
      performPostponed()
    case .askedBack(let partitions, isLost: false):
      deliveries.append(.revoked(partitions, deadline: rebalance.askedBack(partitions, now)))
    case .answered(let number, let error, let offsets):
      let explained = error.map { Self.explained($0, offsets) }
      if let outcome = commits.answered(number, explained, offsets, situation) { report([outcome]) }
    case .error(let error): deliveries.append(.event(.error(error, nil)))
    case .fatal(let error): fail(error)
    case .statistics(let json):
      guard let statistics = ConsumerStatistics(json: json, configuration.isolation) else { return }
      deliveries.append(.event(.statistics(statistics)))
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
    guard error.code == .fenced, let instance = configuration.instanceID else {
      fatalError = error
      return deliveries.append(.event(.fatal(error)))
    }
    let fenced = KafkaError(
      code: .fenced,
      message: """
        another process has joined group \(configuration.group) under our instance id \(instance): \
        give each process an instance id of its own
        """, nativeCode: error.nativeCode, nativeName: error.nativeName, isFatal: true)
    fatalError = fenced
    deliveries.append(.event(.fenced(fenced)))
  }

  /// librdkafka gives one error for the whole request, without the offset that it is about.
  private static func explained(_ error: KafkaError, _ offsets: [CommittedOffset]) -> KafkaError {
    guard error.code == .offsetMetadataTooLarge,
      let longest = offsets.max(by: { $0.metadata.utf8.count < $1.metadata.utf8.count })
    else { return error }
    return KafkaError(
      code: error.code,
      message: """
        commit \(longest.partition): \(longest.metadata.utf8.count) bytes of metadata are more than the broker's \
        offset.metadata.max.bytes (4096 by default)
        """, nativeCode: error.nativeCode, nativeName: error.nativeName)
  }

  /// An answer to librdkafka that the handler did not ask for: a refusal is an event.
  private func attempt(_ body: () throws(KafkaError) -> Void) {
    do throws(KafkaError) { try body() } catch { deliveries.append(.event(.error(error, nil))) }
  }

  func end(_ partitions: [TopicPartition]) {
    outOfRange.subtract(partitions)
    stalePauses.formUnion(paused.intersection(partitions))
    paused.subtract(partitions)
    postponed = postponed.map { change in
      switch change {
      case .unassign(let list): .unassign(list.filter { !partitions.contains($0) })
      case .assign(let list): .assign(list.filter { !partitions.contains($0.0) })
      }
    }
  }

  /// At once, or after the answer that librdkafka waits for.
  func perform(_ change: Change) throws(KafkaError) {
    guard !rebalance.isRevoking else { return postponed.append(change) }
    switch change {
    case .unassign(let partitions): try native.unassign(partitions)
    case .assign(let partitions):
      try assignNatively(partitions)
    }
  }

  func assignNatively(_ partitions: [(TopicPartition, offset: Int64)]) throws(KafkaError) {
    let stale = partitions.map(\.0).filter { stalePauses.contains($0) && !paused.contains($0) }
    if !stale.isEmpty { try native.resume(stale) }
    stalePauses.subtract(stale)
    try native.assign(partitions)
  }

  func performPostponed() {
    guard !rebalance.isRevoking, !postponed.isEmpty else { return }
    let changes = postponed
    postponed = []
    for change in changes { attempt { () throws(KafkaError) in try perform(change) } }
  }

  private func report(_ outcomes: [CommitStateMachine.Outcome]) {
    for (number, result) in outcomes { deliveries.append(.committed(CommitID(number: number), result)) }
  }

  private var situation: CommitStateMachine.Situation {
    CommitStateMachine.Situation(
      requestsSent: native.callbacks.commitRequests.load(ordering: .sequentiallyConsistent),
      generation: native.generation, epoch: rebalance.epoch)
  }

  func issueCommits() {
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
