import ClickHouseClient
import ClickHouseTestKit
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealServerTests {
  /// Which promise a pipeline keeps where nobody has named one.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct DeliveryDefaultTests {
    struct Case: Sendable {
      let name: String
      /// Of the tables of two routes.
      let windows: [Int]
      var isStatic = true
      var second: DeliveryGuarantee?
      let expected: DeliveryGuarantee
      var runs = false
      /// Words of each reason.
      var reasons: [String] = []
    }

    static let cases = [
      Case(name: "both", windows: [10_000, 10_000], expected: .exactlyOnce, runs: true),
      Case(
        name: "one", windows: [10_000, 0], expected: .atLeastOnce, runs: true,
        reasons: [
          "table default_one_1: non_replicated_deduplication_window is 0, so that tokens are not remembered: ALTER"
        ]),
      Case(
        name: "dynamic", windows: [10_000, 10_000], isStatic: false, expected: .atLeastOnce,
        reasons: ["kafka.instance_id is not set"]),
      Case(name: "asked", windows: [10_000, 10_000], second: .atLeastOnce, expected: .atLeastOnce),
    ]

    @Test(arguments: cases)
    func whatTheTablesAllow(_ test: Case) async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let names = (0..<2).map { "default_\(test.name)_\($0)" }
      for (name, window) in zip(names, test.windows) {
        try servers.mock.createTopic(name, partitions: 1)
        try await TestTable.create(name, clickhouse, window: window)
      }
      var configuration = PipelineConfiguration.test(names[0], brokers: servers.brokers, url: servers.url)
      configuration.routes.append(
        RouteConfiguration(
          topics: [names[1]], table: names[1], delivery: test.second, block: configuration.routes[0].block))
      configuration.kafka.instanceID = test.isStatic ? "one" : nil
      let notes = try await Pipeline(configuration).check().filter { $0.setting != "kafka.group" }
      #expect(notes.allSatisfy(\.isNote) && notes.count == test.reasons.count, "\(notes)")
      for (note, words) in zip(notes, test.reasons) { #expect(note.message.contains(words)) }
      guard test.runs else { return }
      let ledger = try RecordLedger(brokers: servers.brokers)
      for name in names { try await ledger.produce(50, to: name, partitions: 1) }
      await ledger.close()
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: ledger)
        let delivery = try #require(sink.status.delivery)
        #expect(delivery.guarantee == test.expected)
        #expect(delivery.reasons == notes.map(\.message))
        #expect(sink.value(PipelineMetric.exactlyOnce) == (test.expected == .exactlyOnce ? 1 : 0))
        #expect(await sink.stop() == nil)
      }
      for name in names {
        #expect(try await clickhouse.queryText("SELECT count(), uniqExact(_offset) FROM \(name)") == "50\t50\n")
      }
    }
  }

  /// `deduplication: count`, for servers that know no tokens: Debian's 18.16.
  @Suite(
    .serialized, .enabled(if: ClickHouseServer.program != nil, "clickhouse-server is not installed"),
    .timeLimit(.minutes(10)))
  struct CountedDeliveryTests {
    private func configuration(_ name: String, _ mock: MockCluster, url: String) -> PipelineConfiguration {
      var configuration = PipelineConfiguration.test(
        name, brokers: [mock.bootstrap[0]], url: url, deadLetters: .table("\(name)_letters")
      ).exactlyOnce.countingSoon
      configuration.routes[0].deduplication = .count
      return configuration
    }

    private func create(_ name: String, _ clickhouse: ClickHouseClient, partitionBy key: String = "tuple()")
      async throws
    {
      for (table, columns) in [
        (name, TestTable.columns),
        ("\(name)_letters", "_topic String, _partition Int32, _offset Int64, message String, _value String"),
      ] {
        _ = try await clickhouse.queryText(
          "CREATE TABLE \(table) (\(columns)) ENGINE = MergeTree PARTITION BY \(table == name ? key : "tuple()") "
            + "ORDER BY (_topic, _partition, _offset)")
      }
    }

    /// Answers are lost, runs are cut off: what is in doubt is counted, and rows and dead letters are there once.
    @Test func whatIsInDoubtIsCounted() async throws {
      let server = try await ClickHouseServer.start()
      defer { server.stop() }
      let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: server.url))
      defer { clickhouse.close() }
      let mock = try MockCluster(brokers: 1)
      let name = "counted"
      try mock.createTopic(name, partitions: 2)
      try await create(name, clickhouse)
      let steps: [Int: ServerStep] = [0: .forwardThenReset, 1: .resetAfterBody, 3: .refuse(252), 5: .forwardThenReset]
      let scripted = try ScriptedServer(
        ServerScript { _, index in index.map { steps[$0] ?? .forward } }, forwardingTo: server.url)
      defer { scripted.stop() }
      let ledger = try RecordLedger(brokers: mock.bootstrap)
      for round in 0..<2 {
        try await ledger.produce(800, to: name, partitions: 2) { $0 % 31 == 5 ? .bad : .row }
        var configuration = configuration(name, mock, url: scripted.url)
        if round == 0 { configuration.limits.drain = .milliseconds(1) }
        try await withSink(configuration) { sink in
          try await sink.wait("some rows") { $0.rowsInserted > 0 }
          if round == 1 { try await sink.waitForAll(of: ledger) }
          _ = await sink.stop()
        }
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      try await audit.read(deadLetterTable: "\(name)_letters", clickhouse)
      audit.expectComplete(ledger)
      #expect(scripted.inserts.allSatisfy { $0.parameter("insert_deduplication_token") == nil })
    }

    /// An insert makes a part for each table partition, and only some of them are there: the rest is made again.
    @Test func whatIsPartlyThereIsCompleted() async throws {
      let server = try await ClickHouseServer.start()
      defer { server.stop() }
      let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: server.url))
      defer { clickhouse.close() }
      let mock = try MockCluster(brokers: 1)
      let name = "counted_parts"
      try mock.createTopic(name, partitions: 1)
      try await create(name, clickhouse, partitionBy: "level % 3")
      let gate = ServerGate()
      let scripted = try ScriptedServer(
        ServerScript { _, index in
          index.map { $0 == 0 ? ServerStep([.readBody, .forward, .hold(gate), .reset]) : .forward }
        }, forwardingTo: server.url)
      defer { scripted.stop() }
      let ledger = try RecordLedger(brokers: mock.bootstrap)
      try await ledger.produce(150, to: name, partitions: 1)
      await ledger.close()
      try await withSink(configuration(name, mock, url: scripted.url)) { sink in
        while try await clickhouse.queryText("SELECT count() FROM \(name)") == "0\n" {
          try await Task.sleep(for: .milliseconds(20))
        }
        _ = try await clickhouse.queryText("ALTER TABLE \(name) DROP PARTITION 1")
        gate.open()
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger)
    }

    @Test(
      arguments: [
        ("id UInt64", "MergeTree ORDER BY id", "ADD COLUMN _topic"),
        (
          "id UInt64, _topic String, _partition Int32, _offset Int64", "ReplacingMergeTree ORDER BY id",
          "take rows away"
        ),
        ("id UInt64, _topic String, _partition Int32, _offset Int64", "Memory", "engine Memory does not say"),
      ])
    func aTableThatCannotBeCountedIsRefused(columns: String, engine: String, words: String) async throws {
      let server = try await ClickHouseServer.start()
      defer { server.stop() }
      let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: server.url))
      defer { clickhouse.close() }
      let mock = try MockCluster(brokers: 1)
      try mock.createTopic("t", partitions: 1)
      _ = try await clickhouse.queryText("CREATE TABLE t (\(columns)) ENGINE = \(engine)")
      var configuration = configuration("t", mock, url: server.url)
      configuration.routes[0].deadLetters = .stop
      let findings = try await Pipeline(configuration).check()
      #expect(findings.contains { $0.setting == "routes[1].delivery" && $0.message.contains(words) }, "\(findings)")
    }
  }
}
