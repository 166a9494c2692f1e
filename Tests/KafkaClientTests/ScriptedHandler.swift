import KafkaClient
import SinkThreads
import Synchronization

/// A handler made of closures: what a test does not script starts partitions at the beginning and gives them back at once.
struct ScriptedHandler: ConsumerHandler, Sendable {
  typealias Control = ConsumerControl

  var onRecords: @Sendable (borrowing RecordBatch, borrowing Control) -> Void = { _, _ in }
  var onAssigned: @Sendable ([TopicPartition], borrowing Control) throws -> Void = { partitions, control in
    try control.assign(partitions.map { ($0, offset: 0) })
  }
  var onRevoked: @Sendable ([TopicPartition], MonotonicInstant, borrowing Control) throws -> Void = {
    try $2.unassign($0)
  }
  var onLost: @Sendable ([TopicPartition], borrowing Control) -> Void = { _, _ in }
  var onCommitted: @Sendable (CommitID, CommitResult, borrowing Control) throws -> Void = { _, _, _ in }
  var onEvent: @Sendable (ConsumerEvent, borrowing Control) throws -> Void = { _, _ in }
  var onTick: @Sendable (borrowing Control) throws -> Void = { _ in }
  let journal: Journal

  init(_ journal: Journal) { self.journal = journal }

  func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    var seen: [(TopicPartition, Int64)] = []
    for index in 0..<batch.count { seen.append((batch[index].topicPartition, batch[index].offset)) }
    journal.state.withLock { state in
      for (partition, offset) in seen { state.offsets[partition, default: []].append(offset) }
    }
    onRecords(batch, control)
  }

  func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    journal.state.withLock {
      $0.given.append(partitions)
      $0.generation = control.generation
      $0.memberID = control.memberID
    }
    journal.attempt("assigned") { try onAssigned(partitions, control) }
  }

  func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    journal.state.withLock { $0.revoked.append(partitions) }
    journal.attempt("revoked") { try onRevoked(partitions, deadline, control) }
  }

  func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    journal.state.withLock { $0.lost.append(partitions) }
    onLost(partitions, control)
  }

  func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    journal.state.withLock { $0.results.append(result) }
    journal.attempt("committed") { try onCommitted(commit, result, control) }
  }

  func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {
    journal.state.withLock { $0.events.append(event) }
    journal.attempt("event") { try onEvent(event, control) }
  }

  func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    let wishes = journal.state.withLock { state in
      state.ticks += 1
      defer { state.wishes = [] }
      return state.wishes
    }
    for wish in wishes { journal.attempt("wish") { try wish(control) } }
    journal.attempt("tick") { try onTick(control) }
    return nil
  }

  func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}

/// What a `ScriptedHandler` saw, and what the test wants done on its thread.
final class Journal: Sendable {
  typealias Wish = @Sendable (borrowing ConsumerControl) throws -> Void

  struct State {
    var offsets: [TopicPartition: [Int64]] = [:]
    var given: [[TopicPartition]] = []
    var revoked: [[TopicPartition]] = []
    var lost: [[TopicPartition]] = []
    var results: [CommitResult] = []
    var events: [ConsumerEvent] = []
    var errors: [String] = []
    var generation: Int32 = -1
    var memberID = ""
    var ticks = 0
    var wishes: [Wish] = []
  }

  let state = Mutex(State())

  var now: State { state.withLock { $0 } }
  var count: Int { state.withLock { $0.offsets.values.reduce(0) { $0 + $1.count } } }

  /// Does it at the next tick, on the consumer's thread.
  func wish(_ wish: @escaping Wish) { state.withLock { $0.wishes.append(wish) } }

  /// Does it at the next tick and waits for what it gives.
  func ask<Value: Sendable>(_ body: @escaping @Sendable (borrowing ConsumerControl) throws -> Value) async throws
    -> Value
  {
    let answer = Mutex<Result<Value, any Error>?>(nil)
    let box = Box(answer)
    wish { control in
      let result = Result<Value, any Error> { try body(control) }
      box.answer.withLock { $0 = result }
    }
    while true {
      if let result = box.answer.withLock({ $0 }) { return try result.get() }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  private final class Box<Value: Sendable>: Sendable {
    let answer: Mutex<Result<Value, any Error>?>
    init(_ answer: consuming Mutex<Result<Value, any Error>?>) { self.answer = answer }
  }

  func attempt(_ subject: String, _ body: () throws -> Void) {
    do { try body() } catch { state.withLock { $0.errors.append("\(subject): \(error)") } }
  }
}

/// A run of a consumer in the background, and its end.
struct BackgroundRun: Sendable {
  let journal: Journal
  private let task: Task<Void, any Error>

  init(
    _ configuration: KafkaConsumerConfiguration, _ subscription: KafkaSubscription,
    _ script: (inout ScriptedHandler) -> Void = { _ in }
  ) throws {
    let journal = Journal()
    var handler = ScriptedHandler(journal)
    script(&handler)
    let consumer = try KafkaConsumer(configuration)
    self.journal = journal
    task = Task { [handler] in try await consumer.run(subscription, handler) }
  }

  /// Ends it, and says what it ended with.
  func stop() async throws {
    task.cancel()
    try await task.value
  }

  /// Waits for an end that comes by itself.
  func end() async throws { try await task.value }
}

extension KafkaConsumerConfiguration {
  /// With times that suit tests.
  static func quick(_ broker: String, _ group: String, instance: String? = nil) -> KafkaConsumerConfiguration {
    var configuration = KafkaConsumerConfiguration(brokers: [broker], group: group, instanceID: instance)
    configuration.sessionTimeout = .seconds(6)
    configuration.revokeDeadline = .milliseconds(2500)
    configuration.shutdownDeadline = .seconds(5)
    configuration.properties = ["topic.metadata.refresh.interval.ms": "500"]
    return configuration
  }
}
