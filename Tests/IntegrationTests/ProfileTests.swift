import ClickHouseClient
import ClickHouseTestKit
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealServerTests {
  /// Settings profiles that refuse what we ask of the server, or would undo it.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct ProfileTests {
    /// An engine whose user has a settings profile; the same tables may come back under another one.
    private struct Engine {
      let directory: URL
      let port: Int
      var url: String { "http://127.0.0.1:\(port)" }

      init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "sinkctl-profile-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        port = try FreePorts.pick(1)[0]
      }

      /// - Parameter constraints: setting and what stands in its element, such as `<const/>` or `<max>1</max>`.
      func start(_ values: [String: String], constraints: [String: String]) async throws -> ChildServer {
        func elements(_ pairs: [String: String]) -> String {
          pairs.sorted { $0.key < $1.key }.map { "<\($0.key)>\($0.value)</\($0.key)>" }.joined()
        }
        let users = directory.appending(path: "users.xml")
        try """
        <clickhouse>
          <profiles><default>\(elements(values))<constraints>\(elements(constraints))</constraints></default></profiles>
          <users><default>
            <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
          </default></users>
          <quotas><default/></quotas>
        </clickhouse>
        """.write(to: users, atomically: true, encoding: .utf8)
        let data = directory.appending(path: "data").path
        let (server, _) = try await TestMachine.startFront(
          ["--port", "\(port)", "--data", data, "--users", users.path])
        return server
      }

      func remove() { try? FileManager.default.removeItem(at: directory) }
    }

    private func prepare(_ name: String, _ url: String, records: Int) async throws -> RecordLedger {
      let servers = try SharedServers.required()
      let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: url))
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 1)
      try await TestTable.create(name, clickhouse, window: 10_000)
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(records, to: name, partitions: 1)
      await ledger.close()
      return ledger
    }

    private func configuration(_ name: String, _ url: String) throws -> PipelineConfiguration {
      var configuration = PipelineConfiguration.test(name, brokers: try SharedServers.required().brokers, url: url)
      configuration.kafka.instanceID = "one"
      return configuration
    }

    private func expectAll(_ name: String, _ ledger: RecordLedger, _ url: String) async throws {
      let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: url))
      defer { clickhouse.close() }
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger)
    }

    /// What only exactly once needs is refused: it is said, by setting, and at least once goes on without.
    @Test func whatTokensNeedIsRefused() async throws {
      let name = "profile_tokens"
      let engine = try Engine()
      defer { engine.remove() }
      let server = try await engine.start(
        ["insert_deduplicate": "0", "max_execution_time": "20"],
        constraints: ["insert_deduplicate": "<const/>", "max_execution_time": "<max>30</max>"])
      defer { server.stop() }
      let ledger = try await prepare(name, engine.url, records: 300)
      let scripted = try ScriptedServer(ServerScript { _, _ in .forward }, forwardingTo: engine.url)
      defer { scripted.stop() }
      var configuration = try configuration(name, scripted.url)
      let notes = try await Pipeline(configuration).check()
      #expect(notes.count == 2 && notes.allSatisfy(\.isNote), "\(notes)")
      for words in [
        "max_execution_time = 60 is needed, and the settings profile allows 30 at most: let the user 'default'",
        "insert_deduplicate = 1 is needed, and the settings profile fixes it at '0': let the user 'default'",
      ] { #expect(notes.contains { $0.message.contains(words) }, "\(notes)") }
      configuration.routes[0].delivery = .exactlyOnce
      let findings = try await Pipeline(configuration).check()
      #expect(findings.map(\.setting) == ["routes[1].delivery", "routes[1].delivery"], "\(findings)")
      configuration.routes[0].delivery = nil
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(sink.status.delivery?.reasons == notes.map(\.message))
        #expect(await sink.stop() == nil)
      }
      try await expectAll(name, ledger, engine.url)
      let sent = scripted.inserts.filter { $0.parameter("async_insert") == "0" }
      #expect(!sent.isEmpty)
      #expect(sent.allSatisfy { $0.parameter("insert_deduplication_token") == nil })
      #expect(sent.allSatisfy { $0.parameter("insert_deduplicate") == "0" }, "a row that comes twice is two rows")
    }

    /// A profile that fixes everything at what we ask for is none that refuses.
    @Test func whatIsFixedAsWeNeedItIsFine() async throws {
      let name = "profile_agrees"
      let engine = try Engine()
      defer { engine.remove() }
      let values = [
        "async_insert": "0", "insert_deduplicate": "1", "deduplicate_insert": "enable", "max_execution_time": "60",
        "use_strict_insert_block_limits": "0", "deduplicate_blocks_in_dependent_materialized_views": "1",
        "timeout_overflow_mode": "throw", "select_sequential_consistency": "1",
      ]
      let server = try await engine.start(values, constraints: values.mapValues { _ in "<const/>" })
      defer { server.stop() }
      let ledger = try await prepare(name, engine.url, records: 300)
      var configuration = try configuration(name, engine.url)
      #expect(try await Pipeline(configuration).check() == [])
      configuration.routes[0].delivery = .exactlyOnce
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      try await expectAll(name, ledger, engine.url)
    }

    /// What no insert can do without is refused: `check` finds it, `run` says it and waits, and goes on by itself once
    /// the profile allows it.
    @Test func whatEachInsertNeedsIsRefused() async throws {
      let name = "profile_inserts"
      let words = "async_insert = 0 is needed, and it refuses that: let the user 'default' have it"
      let engine = try Engine()
      defer { engine.remove() }
      let server = try await engine.start(["async_insert": "1"], constraints: ["async_insert": "<const/>"])
      defer { server.stop() }
      let ledger = try await prepare(name, engine.url, records: 300)
      var configuration = try configuration(name, engine.url)
      let findings = try await Pipeline(configuration).check()
      #expect(findings.map(\.setting) == ["routes[1].table"] && findings[0].code == .refused, "\(findings)")
      #expect(findings.first?.message.contains(words) == true, "\(findings)")
      configuration.routes[0].delivery = .exactlyOnce
      try await withSink(configuration) { sink in
        try await sink.wait("an alarm of the table") { status in
          status.alarms.contains { $0.table == name && $0.message.contains(words) }
        }
        server.stop()
        try await eventually("the end of the first server") { !server.isRunning }
        let mended = try await engine.start(["async_insert": "1"], constraints: [:])
        defer { mended.stop() }
        try await sink.waitForAll(of: ledger)
        #expect(sink.status.alarms.isEmpty)
        #expect(await sink.stop() == nil)
        try await expectAll(name, ledger, engine.url)
      }
    }

    /// Dead letters are looked for by their offsets, with settings of their own.
    @Test func whatCountsNeedIsRefused() async throws {
      let name = "profile_counts"
      let engine = try Engine()
      defer { engine.remove() }
      let server = try await engine.start(
        ["select_sequential_consistency": "0"], constraints: ["select_sequential_consistency": "<const/>"])
      defer { server.stop() }
      _ = try await prepare(name, engine.url, records: 1)
      let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: engine.url))
      defer { clickhouse.close() }
      try await TestTable.createDeadLetters("\(name)_letters", clickhouse, window: 10_000)
      var configuration = try configuration(name, engine.url)
      #expect(try await Pipeline(configuration).check() == [], "what is in doubt stops the partition, later than usual")
      configuration.routes[0].deadLetters = .table("\(name)_letters")
      configuration.routes[0].delivery = .exactlyOnce
      let findings = try await Pipeline(configuration).check()
      #expect(findings.map(\.setting) == ["routes[1].delivery"], "\(findings)")
      let words = "the dead letter table \(name)_letters: its offsets cannot be counted: "
      #expect(findings.first?.message.contains(words) == true, "\(findings)")
      #expect(findings.first?.message.contains("select_sequential_consistency = 1 is needed") == true, "\(findings)")
    }

    /// A block of more table partitions than an insert may touch (100 by default) never lands by waiting: it is cut.
    @Test(arguments: [DeliveryGuarantee.atLeastOnce, .exactlyOnce])
    func aBlockOfTooManyPartitionsIsCut(delivery: DeliveryGuarantee) async throws {
      let servers = try SharedServers.required()
      let name = "profile_partitions_\(delivery)".lowercased()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 1)
      _ = try await clickhouse.queryText(
        "CREATE TABLE \(name) (\(TestTable.columns)) ENGINE = MergeTree PARTITION BY id ORDER BY _offset "
          + "SETTINGS non_replicated_deduplication_window = 10000")
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(170, to: name, partitions: 1)
      await ledger.close()
      var configuration = try configuration(name, servers.url)
      configuration.routes[0].delivery = delivery
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(sink.lines.contains { $0.contains("Too many partitions") }, "no block was that large")
        #expect(await sink.stop() == nil)
      }
      try await expectAll(name, ledger, servers.url)
    }

    /// With `timeout_overflow_mode = 'break'` a server gives up an insert that takes too long, and says that all is well.
    @Test func anInsertThatIsGivenUpIsNoSuccess() async throws {
      let name = "profile_break"
      var configuration = ClickHouseConfiguration(url: try SharedServers.required().url)
      configuration.settings = [("max_execution_time", "1"), ("timeout_overflow_mode", "break")]
      let clickhouse = try ClickHouseClient(configuration)
      defer { clickhouse.close() }
      _ = try await clickhouse.queryText(
        "CREATE TABLE \(name) (id UInt64, slow UInt8 MATERIALIZED sleepEachRow(0.02)) ENGINE = MergeTree ORDER BY id")
      var block = try await clickhouse.emptyBlock(for: name)
      for id in 0..<100 { try block.appendRow(["id": .uint(UInt64(id))]) }
      let outcome = await clickhouse.insert(block)
      guard case .unknown(let error) = outcome, error.serverCode == 159 else {
        Issue.record("\(outcome), with \(try await clickhouse.queryText("SELECT count() FROM \(name)")) of 100 rows")
        return
      }
    }

    /// A count that delivery decides by is whole or an error, whatever the profile likes of long questions.
    @Test func countsAreExact() async throws {
      let engine = try Engine()
      defer { engine.remove() }
      let server = try await engine.start(
        ["max_rows_to_read": "20000", "read_overflow_mode": "break", "max_threads": "1"], constraints: [:])
      defer { server.stop() }
      let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: engine.url))
      defer { clickhouse.close() }
      _ = try await clickhouse.queryText("CREATE TABLE counted (id UInt64) ENGINE = MergeTree ORDER BY id")
      let question = "SELECT uniqExact(id) FROM counted WHERE id >= 0"
      _ = try await clickhouse.queryText("INSERT INTO counted SELECT number FROM numbers(40)")
      #expect(try await clickhouse.queryExactly(question) == "40\n")
      _ = try await clickhouse.queryText("INSERT INTO counted SELECT 100 + number FROM numbers(100000)")
      #expect(try await clickhouse.queryText(question) != "100040\n", "cut off: else this test shows nothing")
      let error = await #expect(throws: ClickHouseError.self) { try await clickhouse.queryExactly(question) }
      #expect(error?.serverCode == 158, "TOO_MANY_ROWS: \(String(describing: error))")
    }
  }
}
