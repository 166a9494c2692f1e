import KafkaClient
import KafkaTestKit
import SinkThreads
import Synchronization
import TestServers
import Testing

/// What a handler on the consumer's thread saw, read by the test.
final class Sightings: Sendable {
  struct State {
    var records: [Record] = []
    var results: [CommitResult] = []
    var readBack: [CommittedOffset] = []
    var lost: [TopicPartition] = []
    var ticks = 0
  }

  let state = Mutex(State())
}

/// Reads `wanted` records from the start, commits behind the last one with metadata, reads that back, and stops.
struct CommitOnceHandler: ConsumerHandler, Sendable {
  let sightings: Sightings
  let wanted: Int
  let metadata: String
  var hasCommitted = false

  func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    do { try control.assign(partitions.map { ($0, offset: 0) }) } catch { Issue.record(error) }
  }

  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    for index in 0..<batch.count {
      let record = batch[index].copy()
      sightings.state.withLock { $0.records.append(record) }
    }
    let (count, last) = sightings.state.withLock { ($0.records.count, $0.records.last) }
    guard count >= wanted, !hasCommitted, let last else { return }
    hasCommitted = true
    _ = control.commit(
      [CommittedOffset(last.topicPartition, offset: last.offset + 1, metadata: metadata)],
      deadline: control.now + .patience)
  }

  func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    sightings.state.withLock { $0.results.append(result) }
    do {
      let back = try control.committedOffsets(control.assignment, timeout: .patience)
      sightings.state.withLock { $0.readBack = back }
    } catch { Issue.record(error) }
    control.stop()
  }

  func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    do { try control.unassign(partitions) } catch { Issue.record(error) }
  }

  func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    sightings.state.withLock { $0.lost += partitions }
  }

  func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}

/// Commits at every batch, so that answers arrive between records all the time.
struct CommitAlwaysHandler: ConsumerHandler, Sendable {
  let sightings: Sightings
  let wanted: Int

  func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    do { try control.assign(partitions.map { ($0, offset: 0) }) } catch { Issue.record(error) }
  }

  func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    for index in 0..<batch.count {
      let record = batch[index].copy()
      sightings.state.withLock { $0.records.append(record) }
      _ = control.commit(
        [CommittedOffset(record.topicPartition, offset: record.offset + 1)], deadline: control.now + .patience)
    }
    if sightings.state.withLock({ $0.records.count }) >= wanted { control.stop() }
  }

  func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    sightings.state.withLock { $0.results.append(result) }
  }

  func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    do { try control.unassign(partitions) } catch { Issue.record(error) }
  }

  func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}

@Suite(.timeLimit(.minutes(10)))
struct MockClusterTests {
  private func consumer(_ cluster: MockCluster, _ group: String) throws -> KafkaConsumer {
    var configuration = KafkaConsumerConfiguration(brokers: cluster.bootstrap, group: group)
    configuration.sessionTimeout = .seconds(6)
    configuration.revokeDeadline = .seconds(2)
    configuration.shutdownDeadline = .patience
    return try KafkaConsumer(configuration)
  }

  @Test func recordsArriveWholeAndTheCommitKeepsItsMetadata() async throws {
    let cluster = try MockCluster()
    try cluster.createTopic("events", partitions: 1)
    let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: cluster.bootstrap))
    let headers = [Record.Header("trace", "7"), Record.Header("null", nil), Record.Header("empty", "")]
    _ = try await producer.send(
      topic: "events", key: [1, 2], value: [3], headers: headers, timestampMilliseconds: 1_700_000_000_123)
    _ = try await producer.send(topic: "events", key: [9], value: nil)
    let third = try await producer.send(topic: "events", key: nil, value: [])
    #expect(third.partition == 0 && third.offset == 2)
    await producer.close(within: .seconds(5))

    let sightings = Sightings()
    try await consumer(cluster, "whole").run(
      .topics(["events"]), CommitOnceHandler(sightings: sightings, wanted: 3, metadata: "nonce=a1"))

    let state = sightings.state.withLock { $0 }
    #expect(state.records.map(\.offset) == [0, 1, 2])
    try #require(state.records.count == 3)
    #expect(state.records[0].headers == headers)
    #expect(state.records[0].timestampMilliseconds == 1_700_000_000_123)
    #expect(state.records[0].key == [1, 2] && state.records[0].value == [3])
    #expect(state.records[1].value == nil, "a tombstone is not an empty value")
    #expect(state.records[2].key == nil && state.records[2].value == [])
    guard case .known? = state.results.first else {
      Issue.record("the commit is \(state.results), not known")
      return
    }
    #expect(state.readBack.first?.offset == 3)
    #expect(state.readBack.first?.metadata == "nonce=a1")
    let asked = try await KafkaAdmin(brokers: cluster.bootstrap).committedOffsets(
      group: "whole", [TopicPartition("events", 0)], within: .patience)
    #expect(asked.map(\.offset) == [3] && asked.map(\.metadata) == ["nonce=a1"])
  }

  @Test func aCommitThatTheBrokerRefusesIsNotKnown() async throws {
    let cluster = try MockCluster()
    try cluster.createTopic("events", partitions: 1)
    let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: cluster.bootstrap))
    _ = try await producer.send(topic: "events", value: [1])
    await producer.close(within: .seconds(5))
    cluster.refuse(.offsetCommit, with: [.offsetMetadataTooLarge])
    let sightings = Sightings()
    try await consumer(cluster, "refused").run(
      .topics(["events"]), CommitOnceHandler(sightings: sightings, wanted: 1, metadata: ""))
    let state = sightings.state.withLock { $0 }
    guard case .refused(let error, _)? = state.results.first else {
      Issue.record("the commit is \(state.results), not refused")
      return
    }
    #expect(error.code == .offsetMetadataTooLarge)
    #expect(state.readBack.first?.offset == nil)
  }

  /// A callback that ended the poll by `rd_kafka_yield` made librdkafka 2.0 drop the record that came next.
  @Test func noRecordIsDroppedWhileCommitsAreAnswered() async throws {
    let cluster = try MockCluster()
    try cluster.createTopic("events", partitions: 1)
    let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: cluster.bootstrap))
    let sightings = Sightings()
    let consumer = try consumer(cluster, "always")
    let run = Task {
      try await consumer.run(.topics(["events"]), CommitAlwaysHandler(sightings: sightings, wanted: 400))
    }
    for index in 0..<400 { _ = try await producer.send(topic: "events", value: [UInt8(index % 256)]) }
    while sightings.state.withLock({ ($0.records.last?.offset ?? -1) < 399 }) {
      try await Task.sleep(for: .milliseconds(20))
    }
    run.cancel()
    try await run.value
    await producer.close(within: .seconds(5))
    let state = sightings.state.withLock { $0 }
    #expect(state.records.map(\.offset) == Array(0..<400))
    #expect(!state.results.isEmpty)
  }

  @Test func forEachBatchResumesBehindWhatItCommitted() async throws {
    let cluster = try MockCluster()
    try cluster.createTopic("events", partitions: 1)
    let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: cluster.bootstrap))
    for index in 0..<10 { _ = try await producer.send(topic: "events", value: [UInt8(index)]) }

    let consumer = try consumer(cluster, "resume")
    let first = try await read(consumer, until: 10)
    #expect(first == Array(0..<10))
    _ = try await producer.send(topic: "events", value: [10])
    await producer.close(within: .seconds(5))
    let second = try await read(consumer, until: 1)
    #expect(second == [10])
  }

  /// The offsets that `forEachBatch` hands over, cancelled after `wanted` of them.
  private func read(_ consumer: KafkaConsumer, until wanted: Int) async throws -> [Int64] {
    let sightings = Sightings()
    let run = Task {
      try await consumer.forEachBatch(from: ["events"]) { batch in
        for index in 0..<batch.count {
          let record = batch[index].copy()
          sightings.state.withLock { $0.records.append(record) }
        }
      }
    }
    while sightings.state.withLock({ $0.records.count }) < wanted { try await Task.sleep(for: .milliseconds(20)) }
    run.cancel()
    try await run.value
    return sightings.state.withLock { $0.records.map(\.offset) }
  }

  @Test func recordsAsASequenceComeInOrderAndEndWithTheTask() async throws {
    let cluster = try MockCluster()
    try cluster.createTopic("events", partitions: 1)
    let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: cluster.bootstrap))
    for index in 0..<50 { _ = try await producer.send(topic: "events", value: [UInt8(index)]) }
    await producer.close(within: .seconds(5))
    let records = try consumer(cluster, "sequence").records(from: ["events"], bufferBytes: 1000)
    var offsets: [Int64] = []
    for try await record in records {
      offsets.append(record.offset)
      guard offsets.count == 50 else { continue }
      try await records.commit(record, metadata: "end")
      break
    }
    #expect(offsets == Array(0..<50))
    // Another loop would lack what this one had fetched.
    let error = await #expect(throws: KafkaError.self) { for try await _ in records {} }
    #expect(error?.code == .state && error?.message.contains("records(from:)") == true, "\(String(describing: error))")
    await records.close()
  }

  @Test func aCommitThatNobodyWaitsForOutlivesTheLoop() async throws {
    let cluster = try MockCluster()
    try cluster.createTopic("events", partitions: 1)
    let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: cluster.bootstrap))
    for index in 0..<10 { _ = try await producer.send(topic: "events", value: [UInt8(index)]) }
    await producer.close(within: .seconds(5))
    let consumer = try consumer(cluster, "later")
    let first = consumer.records(from: ["events"])
    for try await record in first where record.offset == 6 {
      first.commitLater([CommittedOffset(record.topicPartition, offset: 7)])
      break
    }
    await first.close()
    let second = consumer.records(from: ["events"])
    for try await record in second {
      #expect(record.offset == 7)
      break
    }
    await second.close()
  }
}
