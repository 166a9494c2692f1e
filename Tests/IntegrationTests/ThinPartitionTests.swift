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
      let partitions: Int32 = 24
      let site = try await TestSite("thin", partitions: partitions, window: 10_000, constraint: false)
      var configuration = site.configuration(maxRows: 5_000).exactlyOnce
      configuration.routes[0].block.linger = .milliseconds(400)
      for _ in 0..<3 {
        try await site.produce(480)
        var hasty = configuration
        hasty.limits.drain = .milliseconds(1)
        try await withSink(hasty) { sink in
          try await sink.wait("some rows") { $0.rowsInserted > 0 }
          _ = await sink.stop()
        }
      }
      try await site.produce(480)
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: site.ledger)
        // A block for each partition would be two dozen inserts a round.
        #expect(sink.value(PipelineMetric.insertResults) < Double(partitions))
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
    }
  }
}
