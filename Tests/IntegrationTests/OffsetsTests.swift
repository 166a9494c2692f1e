import ClickHouseClient
import Foundation
import KafkaClient
import Pipeline
import TestServers
import Testing

extension RealBrokerTests {
  /// Offsets that are looked at and set from outside, on real brokers and the engine of today; and partitions that stand
  /// still, and go on.
  @Suite(.serialized, .needsKafkaAndEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct OffsetsTests {
    private static let versions = ["3.9.2", "4.4.0"]

    /// A site of one partition whose blocks always end at the same offsets: a hundred rows each.
    private struct Site {
      let broker: KafkaBroker
      let clickhouse: ClickHouseClient
      let ledger: RecordLedger
      let name: String
      var configuration: PipelineConfiguration
      let admin: KafkaAdmin

      var partition: TopicPartition { TopicPartition(name, 0) }

      init(_ name: String, version: String, records: Int = 1000) async throws {
        let servers = try SharedServers.required()
        var options = KafkaBroker.Options()
        options.properties = ["group.min.session.timeout.ms": "500"]
        broker = try await KafkaBroker.start(version: version, options)
        self.name = "\(name)_\(version.prefix(1))"
        clickhouse = try servers.clickhouse()
        admin = try KafkaAdmin(brokers: [broker.bootstrap])
        try await admin.createTopic(self.name, partitions: 1, within: .patience)
        try await TestTable.create(self.name, clickhouse, window: 10_000, constraint: false)
        ledger = try RecordLedger(brokers: [broker.bootstrap])
        try await ledger.produce(records, to: self.name, partitions: 1)
        configuration = .test(self.name, brokers: [broker.bootstrap], url: servers.url, maxRows: 100)
        configuration.routes[0].delivery = .exactlyOnce
        configuration.routes[0].block.linger = .seconds(5)
        configuration.kafka.instanceID = "one"
        configuration.kafka.sessionTimeout = .seconds(2)
        configuration.kafka.revokeDeadline = .milliseconds(900)
        configuration.clickhouse.requestTimeout = .seconds(2)
      }

      func pipeline() throws -> Pipeline { try Pipeline(configuration) }

      /// Rows, and how many different offsets they are of.
      func rows() async throws -> [Int] {
        let text = try await clickhouse.queryText("SELECT count(), uniqExact(_offset) FROM \(name) FORMAT TabSeparated")
        return text.split { $0 == "\t" || $0 == "\n" }.compactMap { Int($0) }
      }

      func runToTheEnd() async throws {
        try await withSink(configuration) { sink in
          try await sink.waitForAll(of: ledger)
          #expect(await sink.stop() == nil)
        }
      }

      /// Runs until a partition stands still; returns why.
      func runIntoAStop() async throws -> String {
        try await withSink(configuration) { sink in
          try await sink.wait("an alarm") { !$0.alarms.isEmpty }
          return sink.status.alarms.map(\.message).joined()
        }
      }

      func write(_ offset: Int64, _ metadata: String) async throws {
        try await pipeline().waitForEmptyGroup(within: .patience)
        let written = try await admin.alterCommittedOffsets(
          group: name, [CommittedOffset(partition, offset: offset, metadata: metadata)], within: .patience)
        #expect(written.first.map { $0.error == nil } == true, "\(written)")
      }

      func held() async throws -> PartitionOffsets { try #require(try await pipeline().offsets().partitions.first) }

      func carryOut(_ recovery: Recovery) async throws -> OffsetPlan {
        let pipeline = try pipeline()
        try await pipeline.waitForEmptyGroup(within: .patience)
        let plan = try await pipeline.plan(recovery)
        try await pipeline.apply(plan)
        return plan
      }
    }

    /// The same offsets in the same blocks, within the window: what is read again is inserted again, nothing is swallowed.
    @Test func aResetInsertsEverythingAgain() async throws {
      try await Self.withBothVersions { version in try await resetInsertsEverythingAgain(version) }
    }

    /// At the same time: most of it is waiting for sessions to end.
    private static func withBothVersions(_ body: @escaping @Sendable (String) async throws -> Void) async throws {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for version in versions { group.addTask { try await body(version) } }
        try await group.waitForAll()
      }
    }

    private func resetInsertsEverythingAgain(_ version: String) async throws {
      let site = try await Site("offsets_reset", version: version)
      defer { site.clickhouse.close() }
      let pipeline = try site.pipeline()
      try await withSink(site.configuration) { sink in
        try await sink.waitForAll(of: site.ledger)
        let offsets = try await pipeline.offsets()
        #expect(offsets.membership?.state == .stable)
        #expect(offsets.membership?.members.first?.instanceID == "one")
        #expect(offsets.partitions.first?.committed == 1000 && offsets.lag == 0)
        #expect(offsets.partitions.first?.commit == .intents)
        #expect(offsets.notes == [], "the rate of tokens among others is measured")
        // While it runs nothing can be set.
        let plan = try await pipeline.plan(OffsetReset(to: .earliest))
        #expect(plan.steps.first?.again == 1000)
        await #expect { try await pipeline.apply(plan) } throws: { ($0 as? PipelineError)?.code == .groupInUse }
        #expect(await sink.stop() == nil)
      }
      #expect(try await site.rows() == [1000, 1000])
      let first = try await site.held()
      try await pipeline.waitForEmptyGroup(within: .patience)
      try await pipeline.apply(try await pipeline.plan(OffsetReset(to: .earliest)))
      let reset = try await site.held()
      #expect(reset.committed == 0 && reset.commit == .plain && reset.lag == 1000)
      try await site.runToTheEnd()
      #expect(try await site.rows() == [2000, 1000])

      // The control: under the lineage of the first time all of it is swallowed.
      let words = first.metadata.split(separator: " ")
      try await site.write(0, "s1 \(words[1]) 1 0")
      try await site.runToTheEnd()
      #expect(try await site.rows() == [2000, 1000], "the blocks were cut otherwise: the test above shows nothing")

      // Forward: what lies between is never read.
      try await pipeline.waitForEmptyGroup(within: .patience)
      try await pipeline.apply(try await pipeline.plan(OffsetReset(to: .shift(-300))))
      #expect(try await site.held().committed == 700)
      try await pipeline.apply(try await pipeline.plan(OffsetReset(to: .latest)))
      try await site.ledger.produce(100, to: site.name, partitions: 1)
      try await site.runToTheEnd()
      #expect(try await site.rows() == [2100, 1100])
      await site.ledger.close()
    }

    /// A foreign commit is accepted as it stands; then the log is one that ends before the committed offset.
    @Test func commitsThatDoNotFitAreRecovered() async throws {
      try await Self.withBothVersions { version in try await commitsThatDoNotFit(version) }
    }

    private func commitsThatDoNotFit(_ version: String) async throws {
      let site = try await Site("offsets_foreign", version: version)
      defer { site.clickhouse.close() }
      try await site.write(400, "somebody else")
      #expect(try await site.held().trouble == .foreignCommit)
      #expect(try await site.runIntoAStop().contains("sinkctl recover"))
      #expect(try await site.rows() == [0, 0])
      let plan = try await site.carryOut(Recovery())
      #expect(plan.steps.first?.offset == 400)
      try await site.runToTheEnd()
      #expect(try await site.rows() == [600, 600])

      try await site.write(5000, "s1 77 1 0")
      #expect(try await site.held().trouble == .beyondLog)
      #expect(try await site.runIntoAStop().contains("the log ends at 1000"))
      #expect(try await site.carryOut(Recovery()).steps.first?.offset == 0)
      try await site.runToTheEnd()
      #expect(try await site.rows() == [1600, 1000])
      await site.ledger.close()
    }

    /// A block was declared, all of it landed, then half of it was deleted; and its table has changed since.
    @Test func aBlockThatIsPartlyThere() async throws {
      try await Self.withBothVersions { version in
        try await blockThatIsPartlyThere(version == "3.9.2" ? .insertAgain : .takeAsLanded, version)
      }
    }

    private func blockThatIsPartlyThere(_ choice: Recovery.Choice, _ version: String) async throws {
      let site = try await Site("offsets_\(choice.rawValue)", version: version)
      defer { site.clickhouse.close() }
      try await site.runToTheEnd()
      // As its owner would have left it, had it died before the last commit.
      let token = String(repeating: "5", count: 26)
      let declared = radix32(UInt64(Date().timeIntervalSince1970))
      try await site.write(800, "s1 77 1 0 \(radix32(99)):\(radix32(100)):\(declared):\(token) \(radix32(99))x")
      _ = try await site.clickhouse.queryText(
        "ALTER TABLE \(site.name) DELETE WHERE _offset BETWEEN 840 AND 899 SETTINGS mutations_sync = 1")
      #expect(try await site.rows() == [940, 940])
      let words = try await site.runIntoAStop()
      #expect(words.contains("40 of them are in the table") && words.contains("sinkctl recover"), "\(words)")

      let pipeline = try site.pipeline()
      try await pipeline.waitForEmptyGroup(within: .patience)
      let open = try await pipeline.plan(Recovery())
      #expect(open.refused.first?.blocks.map(\.outcome) == [.undecided(lost: 60, doubled: 40)])
      await #expect { try await pipeline.apply(open) } throws: { ($0 as? PipelineError)?.code == .refused }
      let reset = try await pipeline.plan(OffsetReset(to: .latest))
      #expect(reset.refused.first?.reason.contains("in doubt") == true)

      _ = try await site.carryOut(Recovery(choice))
      try await site.ledger.produce(100, to: site.name, partitions: 1)
      try await site.runToTheEnd()
      // Offsets 900 to 999 are noted as done behind the block, and are in the table once either way.
      #expect(try await site.rows() == (choice == .insertAgain ? [1140, 1100] : [1040, 1040]))
      await site.ledger.close()
    }
  }
}

/// As the metadata spells numbers.
private func radix32(_ number: UInt64) -> String { String(number, radix: 32) }
