import ClickHouseClient
import ClickHouseTestKit
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealServerTests {
  /// What hangs on a table under `delivery: exactly_once`: its dead letters in another table, and the views that read it.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct ExactlyOnceTableTests {
    private func configuration(_ name: String, _ servers: SharedServers, url: String) -> PipelineConfiguration {
      PipelineConfiguration.test(
        name, brokers: servers.brokers, url: url, deadLetters: .table("\(name)_letters")
      ).exactlyOnce.countingSoon
    }

    private func create(_ name: String, _ servers: SharedServers, _ clickhouse: ClickHouseClient) async throws {
      try servers.mock.createTopic(name, partitions: 2)
      try await TestTable.create(name, clickhouse, window: 10_000)
      try await TestTable.createDeadLetters("\(name)_letters", clickhouse, window: 10_000)
    }

    private func audit(_ name: String, _ clickhouse: ClickHouseClient, _ ledger: RecordLedger) async throws {
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      try await audit.read(deadLetterTable: "\(name)_letters", clickhouse)
      audit.expectComplete(ledger)
    }

    /// Rows that only the server refuses: their block is halved until they stand alone. What the decoder had refused of it
    /// is in the dead letters already, and is not sent again by the halves.
    @Test func refusedRowsBecomeDeadLettersOnce() async throws {
      let servers = try SharedServers.required()
      let name = "once_halves"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try await create(name, servers, clickhouse)
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(600, to: name, partitions: 2) { id in
        switch id {
        case let id where id % 131 == 7: .tombstone
        case 300, 303, 350, 477: .refused
        case let id where id % 31 == 5: .bad
        default: .row
        }
      }
      try await withSink(configuration(name, servers, url: servers.url)) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      try await audit(name, clickhouse, ledger)
    }

    /// Runs that are cut off, before a server that loses answers: each dead letter and each row is there once, also of
    /// blocks that hold nothing but dead letters.
    @Test func deadLettersAreThereOnce() async throws {
      let servers = try SharedServers.required()
      let name = "once_buried"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try await create(name, servers, clickhouse)
      let steps: [ServerStep] = [.forwardThenReset, .forward, .resetAfterBody, .refuse(252), .forward]
      let scripted = try ScriptedServer(
        ServerScript { _, index in index.map { steps[$0 % steps.count] } }, forwardingTo: servers.url)
      defer { scripted.stop() }
      let ledger = try RecordLedger(brokers: servers.brokers)
      for round in 0..<3 {
        try await ledger.produce(600, to: name, partitions: 2) { id in
          switch id {
          case let id where id % 131 == 7: .tombstone
          case let id where (700..<1200).contains(id) || id % 31 == 5: .bad
          default: .row
          }
        }
        var configuration = configuration(name, servers, url: scripted.url)
        configuration.limits.drain = round < 2 ? .milliseconds(1) : .seconds(20)
        try await withSink(configuration) { sink in
          try await sink.wait("some rows") { $0.rowsInserted > 0 }
          if round == 2 { try await sink.waitForAll(of: ledger) }
          _ = await sink.stop()
        }
      }
      await ledger.close()
      try await audit(name, clickhouse, ledger)
      let tokens = scripted.inserts.filter { $0.sql.contains("_letters`") }.compactMap {
        $0.parameter("insert_deduplication_token")
      }
      #expect(!tokens.isEmpty && tokens.allSatisfy { $0.contains("-dead") })
    }

    /// The dead letters have landed and the rows have not when the pipeline goes, and comes back with a mapping that makes
    /// rows of them: they stay what they are.
    @Test func aMappingThatChangesLeavesDeadLettersAlone() async throws {
      let servers = try SharedServers.required()
      let name = "once_mapping"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try await create(name, servers, clickhouse)
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(100, to: name, partitions: 2) { $0 % 10 == 3 ? .bad : .row }
      let isMended = Shared(false)
      let scripted = try ScriptedServer(
        ServerScript { request, index in
          index.map { _ in isMended.value || request.sql.contains("letters") ? .forward : .refuse(252) }
        }, forwardingTo: servers.url)
      defer { scripted.stop() }
      var first = configuration(name, servers, url: scripted.url)
      first.limits.drain = .milliseconds(1)
      try await withSink(first) { sink in
        try await eventually("the dead letters") {
          try await clickhouse.queryText("SELECT count() FROM \(name)_letters").hasPrefix("10\n")
        }
        _ = await sink.stop()
      }
      isMended.value = true
      try await ledger.produce(100, to: name, partitions: 2) { $0 % 10 == 3 ? .bad : .row }
      var second = configuration(name, servers, url: scripted.url)
      second.routes[0].mapping.columns = [.init("level", path: nil)]
      try await withSink(second) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      let found = try await clickhouse.queryText(
        """
        SELECT count(), uniqExact(_partition, _offset), sum(letter) FROM
          (SELECT _partition, _offset, 0 AS letter FROM \(name)
           UNION ALL SELECT _partition, _offset, 1 AS letter FROM \(name)_letters)
        """)
      #expect(found == "200\t200\t10\n", "every offset once; of the second hundred, all are rows now")
    }

    @Test(
      arguments: [
        ("_topic String, _partition Int32, _offset Int64, message String", 0, "MODIFY SETTING non_replicated"),
        (
          "message String", 10_000,
          "ADD COLUMN _topic LowCardinality(String), ADD COLUMN _partition Int32, ADD COLUMN _o"
        ),
      ])
    func aDeadLetterTableThatCannotHoldItIsRefused(columns: String, window: Int, words: String) async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let name = "once_letters_refused"
      for table in [name, "\(name)_letters"] { _ = try await clickhouse.queryText("DROP TABLE IF EXISTS \(table)") }
      try await TestTable.create(name, clickhouse, window: 10_000)
      _ = try await clickhouse.queryText(
        "CREATE TABLE \(name)_letters (\(columns)) ENGINE = MergeTree ORDER BY message "
          + "SETTINGS non_replicated_deduplication_window = \(window)")
      let findings = try await Pipeline(configuration(name, servers, url: servers.url)).check()
      let found = findings.filter { $0.setting == "routes[1].delivery" }.map(\.message)
      #expect(found.count == 1 && found[0].contains("\(name)_letters: ") && found[0].contains(words), "\(findings)")
    }

    /// Other writers use up the window: it is seen, and said.
    @Test func theHorizonIsMeasured() async throws {
      let servers = try SharedServers.required()
      let name = "once_horizon"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 1)
      try await TestTable.create(name, clickhouse, window: 1300)
      // As many parts, each with a token of its own, in one request: a minute is little on a busy machine.
      _ = try await clickhouse.queryText(
        "INSERT INTO \(name) (id, kind) SELECT number, 'other' FROM numbers(900) SETTINGS max_block_size = 1, "
          + "min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1, parts_to_delay_insert = 0")
      var configuration = configuration(name, servers, url: servers.url)
      configuration.routes[0].deadLetters = .skip
      try await withSink(configuration) { sink in
        try await sink.wait("a horizon as is measured") { _ in
          let horizon = sink.value(PipelineMetric.deduplicationHorizon)
          return horizon > 0 && horizon < 120
        }
        #expect(sink.status.deduplicationHorizons[name].map { $0 < .seconds(120) } == true)
        _ = await sink.stop()
        #expect(sink.lines.contains { $0.contains("tokens are forgotten too soon") })
      }
    }

    /// Defaults of the user's profile that would undo tokens are overruled: one that switches them off, and one that cuts
    /// blocks into pieces, each with a token of its own.
    @Test func aProfileDoesNotUndoTokens() async throws {
      let servers = try SharedServers.required()
      let name = "once_profile"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      _ = try await clickhouse.queryText(
        "CREATE TABLE \(name) (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 9"
      )
      _ = try await clickhouse.queryText(
        "SET deduplicate_insert = 'disable', use_strict_insert_block_limits = 1, max_insert_block_size = 10")
      var block = try await clickhouse.emptyBlock(for: name)
      for id in 0..<100 { try block.appendRow(["id": .uint(UInt64(id))]) }
      var accepted = 0
      for _ in 0..<2 {
        if case .accepted = await clickhouse.insert(block, deduplicationToken: "once") { accepted += 1 }
      }
      let rows = try await clickhouse.queryText("SELECT count() FROM \(name)")
      let pieces = try await clickhouse.queryText("SELECT countIf(level = 0) FROM system.parts WHERE table = '\(name)'")
      _ = try await clickhouse.queryText(
        "SET deduplicate_insert = DEFAULT, use_strict_insert_block_limits = DEFAULT, max_insert_block_size = DEFAULT")
      #expect(accepted == 2 && rows == "100\n" && pieces == "1\n", "\(accepted) of two accepted, rows \(rows)")
    }

    // MARK: Views

    private static let window = "SETTINGS non_replicated_deduplication_window = 10000"
    private static let ordered = "ENGINE = MergeTree ORDER BY (_topic, _partition, _offset)"

    /// A view, one on its target, one with an engine of its own, and two to one table.
    private func createViews(_ name: String, _ clickhouse: ClickHouseClient) async throws {
      let places = "_topic, _partition, _offset"
      let columns = "(_topic String, _partition Int32, _offset Int64)"
      for statement in [
        "CREATE TABLE \(name)_first \(columns) \(Self.ordered) \(Self.window)",
        "CREATE TABLE \(name)_second \(columns) \(Self.ordered) \(Self.window)",
        "CREATE MATERIALIZED VIEW \(name)_a TO \(name)_first AS SELECT \(places) FROM \(name)",
        "CREATE MATERIALIZED VIEW \(name)_b TO \(name)_second AS SELECT \(places) FROM \(name)_first",
        "CREATE MATERIALIZED VIEW \(name)_c TO \(name)_second AS SELECT \(places) FROM \(name)",
        "CREATE MATERIALIZED VIEW \(name)_own \(Self.ordered) \(Self.window) AS SELECT \(places), now() AS at FROM \(name)",
      ] { _ = try await clickhouse.queryText(statement) }
    }

    private func expectViews(_ name: String, _ rows: Int, _ clickhouse: ClickHouseClient) async throws {
      for (table, times) in [("first", 1), ("own", 1), ("second", 2)] {
        let found = try await clickhouse.queryText(
          "SELECT count(), uniqExact(_partition, _offset) FROM \(name)_\(table)")
        #expect(found == "\(rows * times)\t\(rows)\n", "\(table)")
      }
    }

    /// Runs that are cut off, before a server that loses answers: views have each row once, as the table has.
    @Test func viewsHaveEachRowOnce() async throws {
      let servers = try SharedServers.required()
      let name = "once_views"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try await create(name, servers, clickhouse)
      try await createViews(name, clickhouse)
      let steps: [ServerStep] = [.forwardThenReset, .forward, .resetAfterBody, .refuse(252), .forward]
      let scripted = try ScriptedServer(
        ServerScript { _, index in index.map { steps[$0 % steps.count] } }, forwardingTo: servers.url)
      defer { scripted.stop() }
      let ledger = try RecordLedger(brokers: servers.brokers)
      for round in 0..<2 {
        try await ledger.produce(600, to: name, partitions: 2)
        var configuration = configuration(name, servers, url: scripted.url)
        if round == 0 { configuration.limits.drain = .milliseconds(1) }
        try await withSink(configuration) { sink in
          try await sink.wait("some rows") { $0.rowsInserted > 0 }
          if round == 1 { try await sink.waitForAll(of: ledger) }
          _ = await sink.stop()
        }
      }
      await ledger.close()
      try await audit(name, clickhouse, ledger)
      try await expectViews(name, ledger.count, clickhouse)
    }

    /// The table has the block and a view refuses it: the same block under the same token completes the view, once that is
    /// mended.
    @Test func aViewThatFailsIsCompleted() async throws {
      let servers = try SharedServers.required()
      let name = "once_failing"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try await create(name, servers, clickhouse)
      try await createViews(name, clickhouse)
      _ = try await clickhouse.queryText("CREATE TABLE \(name)_switch (on UInt8) ENGINE = Memory AS SELECT 1 AS on")
      _ = try await clickhouse.queryText(
        "CREATE MATERIALIZED VIEW \(name)_bad \(Self.ordered) \(Self.window) AS SELECT _topic, _partition, _offset, "
          + "throwIf(id = 123 AND (SELECT max(on) FROM \(name)_switch) = 1, 'switch') AS x FROM \(name)")
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(400, to: name, partitions: 2)
      await ledger.close()
      try await withSink(configuration(name, servers, url: servers.url)) { sink in
        try await sink.wait("an alarm of the table") { status in
          status.alarms.contains { $0.table == name && $0.message.contains("while pushing to view") }
        }
        let without =
          "SELECT count() FROM \(name) WHERE id = 123 AND (SELECT count() FROM \(name)_bad WHERE _partition = 1) = 0"
        #expect(
          try await clickhouse.queryText(without) == "1\n", "the table has the row, the view has none of its block")
        _ = try await clickhouse.queryText("TRUNCATE TABLE \(name)_switch")
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      try await audit(name, clickhouse, ledger)
      try await expectViews(name, ledger.count, clickhouse)
      let found = try await clickhouse.queryText("SELECT count(), uniqExact(_partition, _offset) FROM \(name)_bad")
      #expect(found == "400\t400\n")
    }

    @Test(
      arguments: [
        ("TO NAME_t AS SELECT id FROM NAME", "MergeTree ORDER BY id", "writes to default.NAME_t: non_replicated_dedup"),
        ("TO NAME_t AS SELECT id FROM NAME", "MergeTree ORDER BY id", "ALTER TABLE `default`.`NAME_t` MODIFY SETTING"),
        ("TO NAME_t AS SELECT id FROM NAME", "Memory", "engine Memory remembers no tokens"),
        ("ENGINE = MergeTree ORDER BY id AS SELECT id FROM NAME", "Memory", "ALTER TABLE `default`.`.inner_id."),
        (
          "TO NAME_t AS SELECT id, now() AS at FROM NAME",
          "MergeTree PARTITION BY toDate(at) ORDER BY id SETTINGS non_replicated_deduplication_window = 10000",
          "may depend on now() in the view"
        ),
      ])
    func aViewThatCannotHoldItIsRefused(view: String, engine: String, words: String) async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let name = "once_views_refused"
      for statement in [
        "DROP VIEW IF EXISTS \(name)_v", "DROP TABLE IF EXISTS \(name)", "DROP TABLE IF EXISTS \(name)_t",
        "CREATE TABLE \(name)_t (id UInt64, at DateTime) ENGINE = \(engine)",
      ] { _ = try await clickhouse.queryText(statement) }
      try await TestTable.create(name, clickhouse, window: 10_000)
      _ = try await clickhouse.queryText(
        "CREATE MATERIALIZED VIEW \(name)_v \(view.replacingOccurrences(of: "NAME", with: name))")
      var configuration = configuration(name, servers, url: servers.url)
      configuration.routes[0].deadLetters = .skip
      let findings = try await Pipeline(configuration).check()
      let found = findings.filter { $0.setting == "routes[1].delivery" }.map(\.message)
      #expect(found.count == 1, "\(findings)")
      #expect(found.first?.contains(words.replacingOccurrences(of: "NAME", with: name)) == true, "\(found)")
    }
  }
}
