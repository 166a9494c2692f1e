import ClickHouseClient
import Foundation
import KafkaClient
import Pipeline
import SinkThreads
import TestServers
import Testing

extension RealBrokerTests {
  @Suite(.serialized, .needsKafkaAndEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct GroupWatchTests {
    /// A static member that dies after it was asked for partitions and is back within its session joins without a
    /// rebalance: the group is stable, and what it gave back is nobody's.
    @Test func partitionsThatTheGroupGaveToNobodyAreRead() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let broker = try await KafkaBroker.start(version: "4.4.0")
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      let name = "orphans"
      try await admin.createTopic(name, partitions: 4, within: .patience)
      try await TestTable.create(name, clickhouse)
      var configuration = PipelineConfiguration.test(name, brokers: [broker.bootstrap], url: servers.url)
      configuration.kafka.instanceID = "sink"
      configuration.groupCheckInterval = .seconds(1)
      var other = configuration.kafka
      other.instanceID = "other"
      let consumer = try KafkaConsumer(other)
      let (owned, tell) = AsyncStream.makeStream(of: Int.self)
      let member = Task { try await consumer.run(.topics([name]), DyingMember(tell: tell)) }
      for await count in owned where count == 4 { break }
      try await withSink(configuration) { sink in
        try await sink.wait("half of the partitions") { $0.partitions.count == 2 }
        #expect(sink.lines.contains { $0.contains("the group has given partitions to nobody") })
        await sink.stop()
      }
      member.cancel()
      _ = try? await member.value
    }
  }
}

/// Dies when it is first asked for partitions, and comes back under the same instance id at once.
private struct DyingMember: ConsumerHandler, Sendable {
  let tell: AsyncStream<Int>.Continuation
  var hasDied = false

  init(tell: AsyncStream<Int>.Continuation) { self.tell = tell }

  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    try? control.assign(partitions.map { ($0, offset: 0) })
    tell.yield(control.assignment.count)
  }
  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    guard hasDied else {
      hasDied = true
      return control.renew()
    }
    try? control.unassign(partitions)
  }
  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {}
  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {}
  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}
