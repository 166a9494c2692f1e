import KafkaClient
import SinkThreads
import Synchronization
import TestServers

/// Reads a topic from its beginning to its end, without a group.
enum TopicDump {
  static func records(
    of topic: String, partitions: Int32, brokers: [String], within timeout: Duration = .patience
  ) async throws -> [Record] {
    let wanted = (0..<partitions).map { TopicPartition(topic, $0) }
    let found = Mutex<[Record]>([])
    let consumer = try KafkaConsumer(KafkaConsumerConfiguration(brokers: brokers, group: "dump"))
    let handler = DumpHandler(wanted: wanted, deadline: TimeSource.system.monotonic() + timeout) { records in
      found.withLock { $0 = records }
    }
    try await consumer.run(.assignment(wanted.map { (partition: $0, start: .earliest) }), handler)
    return found.withLock { $0 }
  }
}

private struct DumpHandler: ConsumerHandler, Sendable {
  let wanted: [TopicPartition]
  let deadline: MonotonicInstant
  let done: @Sendable ([Record]) -> Void
  var ended: Set<TopicPartition> = []
  var records: [Record] = []

  init(wanted: [TopicPartition], deadline: MonotonicInstant, done: @escaping @Sendable ([Record]) -> Void) {
    self.wanted = wanted
    self.deadline = deadline
    self.done = done
  }

  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    for index in 0..<batch.count { records.append(batch[index].copy()) }
  }

  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    var starts: [(TopicPartition, offset: Int64)] = []
    for partition in partitions {
      if let low = try? control.watermarks(partition, timeout: .patience).low { starts.append((partition, low)) }
    }
    try? control.assign(starts)
  }

  mutating func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {
    guard case .partitionEnd(let partition, _) = event else { return }
    ended.insert(partition)
    if ended.count == wanted.count {
      done(records)
      control.stop()
    }
  }

  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    if now > deadline { control.stop() }
    return nil
  }

  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {}
  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {}
  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}
