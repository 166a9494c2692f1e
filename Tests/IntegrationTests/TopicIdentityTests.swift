import ClickHouseClient
import Foundation
import KafkaClient
import Pipeline
import TestServers
import Testing

extension RealBrokerTests {
  /// Where librdkafka can ask for topics' ids.
  @Suite(
    .serialized, .needsKafkaAndEngine, .sharedServers, .timeLimit(.minutes(10)),
    .enabled(if: KafkaLibrary.versionNumber >= 0x0203_00ff, "librdkafka before 2.3 cannot ask for topics' ids"))
  struct TopicIdentityTests {
    /// A commit that the network has held back lands on a topic that was made again meanwhile, with a longer log. Nothing
    /// but the id tells.
    @Test(arguments: ["4.4.0"]) func aCommitThatOutlivesItsTopic(version: String) async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let broker = try await KafkaBroker.start(version: version)
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      let name = "identity_\(version.filter(\.isNumber))"
      try await admin.createTopic(name, partitions: 1, within: .patience)
      try await TestTable.create(name, clickhouse, window: 10_000)
      var configuration = PipelineConfiguration.test(name, brokers: [broker.bootstrap], url: servers.url)
      configuration.routes[0].delivery = .exactlyOnce
      configuration.kafka.instanceID = "one"
      let first = try RecordLedger(brokers: [broker.bootstrap])
      try await first.produce(300, to: name, partitions: 1)
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: first)
        #expect(await sink.stop() == nil)
      }
      await first.close()
      let held = try await admin.committedOffsets(group: name, [TopicPartition(name, 0)], within: .patience)
      #expect(held.first?.offset == 300)

      try await admin.deleteTopic(name, within: .patience)
      try await repeatedly("made again") { try await admin.createTopic(name, partitions: 1, within: .patience) }
      let second = try RecordLedger(brokers: [broker.bootstrap])
      try await second.produce(500, to: name, partitions: 1)
      // A member with an instance id keeps its place for a session.
      try await repeatedly("committed") { try await set(held, admin, name) }
      try await withSink(configuration) { sink in
        try await sink.wait("an alarm that says why") { status in
          status.alarms.contains { $0.message.contains("made again") }
        }
        #expect(sink.status.rowsInserted == 0)
        _ = await sink.stop()
      }

      // What `sinkctl offsets reset --to earliest` writes; the same ranges as of the old topic have other tokens.
      let start = CommittedOffset(TopicPartition(name, 0), offset: 0, metadata: "s1 0 0 0")
      try await repeatedly("reset") { try await set([start], admin, name) }
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: second)
        #expect(await sink.stop() == nil)
      }
      await second.close()
      let counts = try await clickhouse.queryText(
        "SELECT count(), uniqExact(_offset), countIf(_offset < 300) FROM \(name)")
      #expect(counts.split(whereSeparator: \.isWhitespace) == ["800", "500", "600"])
    }

    private func set(_ offsets: [CommittedOffset], _ admin: KafkaAdmin, _ group: String) async throws {
      for answer in try await admin.alterCommittedOffsets(group: group, offsets, within: .patience) {
        if let error = answer.error { throw error }
      }
    }

    private func repeatedly(_ what: String, _ body: () async throws -> Void) async throws {
      let deadline = ContinuousClock.now + .patience
      while true {
        do {
          return try await body()
        } catch {
          guard ContinuousClock.now < deadline else { throw HarnessProblem("not \(what): \(error)") }
          try await Task.sleep(for: .milliseconds(300))
        }
      }
    }
  }
}
