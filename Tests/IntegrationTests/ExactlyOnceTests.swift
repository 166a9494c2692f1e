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
    /// A block with rows that only the server refuses is halved, under intents of its own, down to the dead letters.
    @Test func refusedRowsBecomeDeadLettersOnce() async throws {
      let site = try await TestSite("once_dead", partitions: 3, window: 10_000, deadLetters: .topic("once_dead.dead"))
      try await site.produce(1000) { id in
        switch id {
        case let id where id % 97 == 5: .bad
        case let id where id % 131 == 7: .tombstone
        case 300, 303, 450, 777: .refused
        default: .row
        }
      }
      try await withSink(site.configuration().exactlyOnce) { sink in
        try await sink.waitForAll(of: site.ledger)
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
    }

    /// One run after the other, each cut off in the middle: what was declared is made again, and is there once.
    @Test func runsThatAreCutOffGoOnWhereTheyWere() async throws {
      let site = try await TestSite("once_cut", partitions: 3, window: 10_000, constraint: false)
      for _ in 0..<3 {
        try await site.produce(600)
        var configuration = site.configuration().exactlyOnce
        // Nothing that is on its way lands within that: the rest is left to the next run.
        configuration.limits.drain = .milliseconds(1)
        try await withSink(configuration) { sink in
          try await sink.wait("some rows") { $0.rowsInserted > 0 }
          _ = await sink.stop()
        }
      }
      try await withSink(site.configuration().exactlyOnce) { sink in
        try await sink.waitForAll(of: site.ledger)
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
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
      let pipeline = try Pipeline(
        PipelineConfiguration.test(name, brokers: servers.brokers, url: servers.url).exactlyOnce)
      do {
        try await pipeline.run()
        Issue.record("it ran")
      } catch {
        #expect(error.details.contains { $0.contains(words) }, "\(error)")
      }
    }

    /// At least once leaves a word that exactly once goes on from.
    @Test func aGroupThatRanAtLeastOnceGoesOn() async throws {
      let site = try await TestSite("once_after", partitions: 2, window: 10_000, constraint: false)
      for delivery in [DeliveryGuarantee.atLeastOnce, .exactlyOnce, .atLeastOnce] {
        try await site.produce(300)
        var configuration = site.configuration().exactlyOnce
        configuration.routes[0].delivery = delivery
        try await withSink(configuration) { sink in
          try await sink.waitForAll(of: site.ledger)
          #expect(await sink.stop() == nil)
        }
      }
      try await site.expectComplete()
    }

    /// What was on its way under another version of a transform, and is there, becomes nothing else.
    @Test func blocksOfAnOlderTransformAreLookedForFirst() async throws {
      let site = try await TestSite(
        "once_transformed", partitions: 1, window: 10_000, constraint: false,
        deadLetters: .topic("once_transformed.dead"))
      let isDeaf = Shared(true)
      let scripted = try ScriptedServer(
        ServerScript { _, index in index != nil && isDeaf.value ? .forwardThenReset : .forward },
        forwardingTo: site.servers.url)
      defer { scripted.stop() }
      try await site.produce(300)
      var configuration = site.configuration(via: scripted.url).exactlyOnce
      configuration.routes[0].transforms = ["picky"]
      // One block: while a table fails, no other is sent.
      configuration.routes[0].block = SealPolicy(maxRows: 300, linger: .seconds(10))
      var hasty = configuration
      hasty.limits.drain = .milliseconds(1)
      try await withSink(hasty, transforms: ["picky": PickyTransform(version: "1", refuses: { _ in false })]) { sink in
        try await eventually("300 rows") {
          try await site.clickhouse.queryText("SELECT count() FROM \(site.name)") == "300\n"
        }
        _ = await sink.stop()
      }
      isDeaf.value = false
      try await site.produce(300) { $0 % 10 == 3 ? .bad : .row }
      try await withSink(
        configuration, transforms: ["picky": PickyTransform(version: "2", refuses: { $0 % 10 == 3 })]
      ) { sink in
        try await sink.waitForAll(of: site.ledger)
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
    }

    @Test func aForeignCommitStandsStill() async throws {
      let site = try await TestSite("once_foreign", partitions: 1, window: 10_000, constraint: false)
      try await site.produce(300)
      let configuration = site.configuration()
      try await KafkaConsumer(configuration.kafka).run(
        .assignment([(TopicPartition(site.name, 0), start: .earliest)]), ForeignCommitter())
      try await withSink(configuration.exactlyOnce) { sink in
        try await sink.wait("an alarm that says why") { status in
          status.alarms.contains { $0.message.contains("committed by something else") }
        }
        #expect(sink.status.rowsInserted == 0)
        _ = await sink.stop()
      }
      await site.ledger.close()
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
