import ClickHouseClient
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealServerTests {
  /// Blocks of several partitions, `delivery: exactly_once`.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct ThinPartitionTests {
    /// Runs that are cut off in the middle leave blocks of many partitions to the next one, which makes them again whole.
    @Test func theyShareBlocksThatAreMadeAgainWhole() async throws {
      let servers = try SharedServers.required()
      let name = "thin"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let partitions: Int32 = 24
      try servers.mock.createTopic(name, partitions: Int(partitions))
      try await TestTable.create(name, clickhouse, window: 10_000, constraint: false)
      var configuration = PipelineConfiguration.test(name, brokers: servers.brokers, url: servers.url, maxRows: 5_000)
      configuration.routes[0].delivery = .exactlyOnce
      configuration.routes[0].block.linger = .milliseconds(400)
      configuration.kafka.instanceID = "one"
      let ledger = try RecordLedger(brokers: servers.brokers)
      for _ in 0..<3 {
        try await ledger.produce(480, to: name, partitions: partitions)
        var hasty = configuration
        hasty.limits.drain = .milliseconds(1)
        try await withSink(hasty) { sink in
          try await sink.wait("some rows") { $0.rowsInserted > 0 }
          _ = await sink.stop()
        }
      }
      try await ledger.produce(480, to: name, partitions: partitions)
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: ledger)
        // A block for each partition would be two dozen inserts a round.
        #expect(sink.value(PipelineMetric.insertResults) < Double(partitions))
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger)
    }
  }
}
