import SinkTelemetry
import SinkThreads

let notRunning = KafkaError(code: .state, message: "the consumer is not running")
final class ConsumerCore {
  var now: MonotonicInstant { TimeSource.system.monotonic() }
  var assignment: [TopicPartition] { [] }
  var epoch: UInt64 { 0 }
  var memberID: String { "" }
  var generation: Int32 { -1 }
  func assign(_ partitions: [(TopicPartition, offset: Int64)]) throws(KafkaError) { throw notRunning }
  func unassign(_ partitions: [TopicPartition]) throws(KafkaError) { throw notRunning }
  func pause(_ partitions: [TopicPartition]) throws(KafkaError) { throw notRunning }
  func resume(_ partitions: [TopicPartition]) throws(KafkaError) { throw notRunning }
  func seek(_ partition: TopicPartition, to offset: Int64) throws(KafkaError) { throw notRunning }
  func commit(_ offsets: [CommittedOffset], deadline: MonotonicInstant) -> CommitID { CommitID(number: 0) }
  func committedOffsets(_ partitions: [TopicPartition], timeout: Duration) throws(KafkaError) -> [CommittedOffset] {
    []
  }
  func watermarks(_ partition: TopicPartition, timeout: Duration) throws(KafkaError) -> (low: Int64, high: Int64) {
    (0, 0)
  }
  func cachedWatermarks(_ partition: TopicPartition) -> (low: Int64, high: Int64)? { nil }
  func offsetForStart(_ partition: TopicPartition, timeout: Duration) throws(KafkaError) -> Int64 { 0 }
  func stop() {}
  func finish() {}
  func renew() {}
}
final class ConsumerRunner: Sendable {
  init(_ configuration: KafkaConsumerConfiguration) throws(KafkaError) {}
  func run<Handler: ConsumerHandler & ~Copyable & Sendable>(
    _ subscription: KafkaSubscription, _ handler: consuming Handler
  ) async throws { throw notRunning }
  func wake() {}
}
final class ProducerCore: Sendable {
  init(_ configuration: KafkaProducerConfiguration) throws(KafkaError) {}
  func abandon() {}
  func send(
    topic: String, partition: Int32?, key: [UInt8]?, value: [UInt8]?, headers: [Record.Header],
    timestampMilliseconds: Int64?, completion: @escaping KafkaProducer.Completion
  ) throws(KafkaError) { throw notRunning }
  var pendingCount: Int { 0 }
  func flush(within timeout: Duration) async throws(KafkaError) {}
  func close(within timeout: Duration) async {}
}
final class AdminCore: Sendable {
  init(brokers: [String], security: KafkaSecurity, properties: [String: String], clientID: String, logger: Logger)
    throws(KafkaError)
  {}
  func metadata(topic: String?, within timeout: Duration) async throws(KafkaError) -> KafkaAdmin.Cluster {
    throw notRunning
  }
  func createTopic(
    _ name: String, partitions: Int, replication: Int, settings: [String: String], within timeout: Duration
  ) async throws(KafkaError) { throw notRunning }
  func deleteTopic(_ name: String, within timeout: Duration) async throws(KafkaError) { throw notRunning }
  func addPartitions(_ name: String, total: Int, within timeout: Duration) async throws(KafkaError) { throw notRunning }
  func watermarks(_ partition: TopicPartition, within timeout: Duration) async throws(KafkaError) -> (
    low: Int64, high: Int64
  ) { throw notRunning }
  func committedOffsets(group: String, _ partitions: [TopicPartition], within timeout: Duration)
    async throws(KafkaError) -> [CommittedOffset]
  { throw notRunning }
}
final class RecordFlow: Sendable {
  init(_ consumer: KafkaConsumer, _ subscription: KafkaSubscription, bufferBytes: Int) {}
  func commit(_ offsets: [CommittedOffset], within timeout: Duration) async -> CommitResult { .unknown(notRunning) }
  func commitLater(_ offsets: [CommittedOffset]) {}
  func nextChunk() async throws -> [Record] { [] }
  func stop() {}
}
final class BatchFailure: Sendable {
  func rethrow() throws {}
}
struct BatchHandler: ConsumerHandler {
  let commitInterval: Duration?
  let failure: BatchFailure
  let body: @Sendable (borrowing RecordBatch) throws -> Void
  func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {}
  func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  func revoked(_ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl) {}
  func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {}
  func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) {}
}
