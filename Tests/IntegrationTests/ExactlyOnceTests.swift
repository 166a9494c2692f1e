import ClickHouseClient
import ClickHouseTestKit
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import SinkThreads
import TestServers
import Testing

extension RealServerTests {
  /// `delivery: exactly_once` on a broker and an engine; scripts/prove-exactly-once kills processes besides.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct ExactlyOnceTests {
    private func configuration(
      _ name: String, _ servers: SharedServers, deadLetters: DeadLetterPolicy = .stop
    ) -> PipelineConfiguration {
      var configuration = PipelineConfiguration.test(
        name, brokers: servers.brokers, url: servers.url, deadLetters: deadLetters)
      configuration.routes[0].delivery = .exactlyOnce
      configuration.kafka.instanceID = "one"
      return configuration
    }

    /// A block with rows that only the server refuses is halved, under intents of its own, down to the dead letters.
    @Test func refusedRowsBecomeDeadLettersOnce() async throws {
      let servers = try SharedServers.required()
      let name = "once_dead"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 3)
      try servers.mock.createTopic("\(name).dead", partitions: 2)
      try await TestTable.create(name, clickhouse, window: 10_000)
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(1000, to: name, partitions: 3) { id in
        switch id {
        case let id where id % 97 == 5: .bad
        case let id where id % 131 == 7: .tombstone
        case 300, 303, 450, 777: .refused
        default: .row
        }
      }
      try await withSink(configuration(name, servers, deadLetters: .topic("\(name).dead"))) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      let letters = try await TopicDump.records(of: "\(name).dead", partitions: 2, brokers: servers.brokers)
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      try audit.read(deadLetters: letters)
      audit.expectComplete(ledger)
    }

    /// One run after the other, each cut off in the middle: what was declared is made again, and is there once.
    @Test func runsThatAreCutOffGoOnWhereTheyWere() async throws {
      let servers = try SharedServers.required()
      let name = "once_cut"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 3)
      try await TestTable.create(name, clickhouse, window: 10_000, constraint: false)
      let ledger = try RecordLedger(brokers: servers.brokers)
      for _ in 0..<3 {
        try await ledger.produce(600, to: name, partitions: 3)
        var configuration = configuration(name, servers)
        // Nothing that is on its way lands within that: the rest is left to the next run.
        configuration.limits.drain = .milliseconds(1)
        try await withSink(configuration) { sink in
          try await sink.wait("some rows") { $0.rowsInserted > 0 }
          _ = await sink.stop()
        }
      }
      try await withSink(configuration(name, servers)) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger)
    }

    @Test(
      arguments: [
        ("ENGINE = MergeTree ORDER BY id", "MODIFY SETTING non_replicated_deduplication_window = 10000"),
        (
          "ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100",
          "MODIFY SETTING non_replicated_deduplication_window = 10000"
        ),
        ("ENGINE = Memory", "engine Memory remembers no tokens"),
        (
          "ENGINE = MergeTree PARTITION BY toDate(seen) ORDER BY id SETTINGS non_replicated_deduplication_window = 10000",
          "column seen, whose default calls now()"
        ),
      ])
    func aTableThatCannotHoldItIsRefused(engine: String, words: String) async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let name = "once_refused"
      _ = try await clickhouse.queryText("DROP TABLE IF EXISTS \(name)")
      _ = try await clickhouse.queryText("CREATE TABLE \(name) (id UInt64, seen DateTime DEFAULT now()) \(engine)")
      let pipeline = try Pipeline(configuration(name, servers))
      do {
        try await pipeline.run()
        Issue.record("it ran")
      } catch {
        #expect(error.details.contains { $0.contains(words) }, "\(error)")
      }
    }

    /// At least once leaves a word that exactly once goes on from.
    @Test func aGroupThatRanAtLeastOnceGoesOn() async throws {
      let servers = try SharedServers.required()
      let name = "once_after"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 2)
      try await TestTable.create(name, clickhouse, window: 10_000, constraint: false)
      let ledger = try RecordLedger(brokers: servers.brokers)
      for delivery in [DeliveryGuarantee.atLeastOnce, .exactlyOnce, .atLeastOnce] {
        try await ledger.produce(300, to: name, partitions: 2)
        var configuration = configuration(name, servers)
        configuration.routes[0].delivery = delivery
        try await withSink(configuration) { sink in
          try await sink.waitForAll(of: ledger)
          #expect(await sink.stop() == nil)
        }
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger)
    }

    /// What was on its way under another version of a transform, and is there, becomes nothing else.
    @Test func blocksOfAnOlderTransformAreLookedForFirst() async throws {
      let servers = try SharedServers.required()
      let name = "once_transformed"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      for topic in [name, "\(name).dead"] { try servers.mock.createTopic(topic, partitions: 1) }
      try await TestTable.create(name, clickhouse, window: 10_000, constraint: false)
      let isDeaf = Shared(true)
      let scripted = try ScriptedServer(
        ServerScript { _, index in index != nil && isDeaf.value ? .forwardThenReset : .forward },
        forwardingTo: servers.url)
      defer { scripted.stop() }
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(300, to: name, partitions: 1)
      var configuration = configuration(name, servers, deadLetters: .topic("\(name).dead"))
      configuration.clickhouse.url = scripted.url
      configuration.routes[0].transforms = ["picky"]
      // One block: while a table fails, no other is sent.
      configuration.routes[0].block = SealPolicy(maxRows: 300, linger: .seconds(10))
      var hasty = configuration
      hasty.limits.drain = .milliseconds(1)
      try await withSink(hasty, transforms: ["picky": PickyTransform(version: "1", refuses: { _ in false })]) { sink in
        let count = "SELECT count() FROM \(name)"
        for _ in 0..<1000 where try await clickhouse.queryText(count) != "300\n" {
          try await Task.sleep(for: .milliseconds(50))
        }
        #expect(try await clickhouse.queryText(count) == "300\n")
        _ = await sink.stop()
      }
      isDeaf.value = false
      try await ledger.produce(300, to: name, partitions: 1) { $0 % 10 == 3 ? .bad : .row }
      try await withSink(
        configuration, transforms: ["picky": PickyTransform(version: "2", refuses: { $0 % 10 == 3 })]
      ) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      try audit.read(
        deadLetters: try await TopicDump.records(of: "\(name).dead", partitions: 1, brokers: servers.brokers))
      audit.expectComplete(ledger)
    }

    @Test func aForeignCommitStandsStill() async throws {
      let servers = try SharedServers.required()
      let name = "once_foreign"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 1)
      try await TestTable.create(name, clickhouse, window: 10_000, constraint: false)
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(300, to: name, partitions: 1)
      await ledger.close()
      var kafka = configuration(name, servers).kafka
      kafka.instanceID = nil
      try await KafkaConsumer(kafka).run(.assignment([(TopicPartition(name, 0), start: .earliest)]), ForeignCommitter())
      try await withSink(configuration(name, servers)) { sink in
        try await sink.wait("an alarm that says why") { status in
          status.alarms.contains { $0.message.contains("committed by something else") }
        }
        #expect(sink.status.rowsInserted == 0)
        _ = await sink.stop()
      }
    }
  }
}

private struct PickyTransform: Transform {
  let version: String
  let refuses: @Sendable (Int64) -> Bool

  func apply(to record: inout RecordFields) throws(Rejection) -> Verdict {
    guard let id = record["id"]?.int64, refuses(id) else { return .keep }
    throw Rejection(reason: .transform, column: "id", message: "version \(version) takes no \(id)")
  }
}

/// Another program in the group: it commits an offset without a word, and leaves.
private struct ForeignCommitter: ~Copyable, ConsumerHandler {
  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    _ = control.commit(partitions.map { CommittedOffset($0, offset: 100) }, deadline: control.now + .patience)
  }
  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    control.finish()
  }
  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {}
  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {}
  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}
