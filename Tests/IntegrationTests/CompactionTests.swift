import ClickHouseClient
import ClickHouseTestKit
import KafkaClient
import Pipeline
import SinkTelemetry
import TestServers
import Testing

extension RealBrokerTests {
  /// Logs with holes, and records that are larger than everything else.
  @Suite(.serialized, .needsKafkaAndEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct CompactionTests {
    private static let settings = [
      "cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.01",
      "max.compaction.lag.ms": "200",
    ]

    private func startBroker() async throws -> KafkaBroker {
      var options = KafkaBroker.Options()
      options.properties = ["log.cleaner.backoff.ms": "300", "log.initial.task.delay.ms": "300"]
      return try await KafkaBroker.start(version: "3.9.2", options)
    }

    /// Records over a few keys: of each key only the last one need stay.
    private func produce(_ count: Int, from first: Int, to topic: String, _ broker: KafkaBroker) async throws {
      let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: [broker.bootstrap]))
      for id in first..<(first + count) {
        try producer.send(
          topic: topic, partition: 0, key: Array("key \(id % 40)".utf8), value: Array(#"{"id": \#(id)}"#.utf8)
        ) { _ in }
      }
      try await producer.flush(within: .patience)
      await producer.close(within: .seconds(5))
    }

    /// Waits until compaction has come to rest; a segment is closed by the next record only, so some are sent.
    /// - Returns: the offsets that are left.
    private func compacted(
      _ topic: String, to most: Int, from first: Int, _ broker: KafkaBroker
    ) async throws -> [Int64] {
      var last: [Int64] = []
      for round in 0..<100 {
        try await produce(1, from: first + round, to: topic, broker)
        try await Task.sleep(for: .milliseconds(400))
        let left = try await TopicDump.records(of: topic, partitions: 1, brokers: [broker.bootstrap]).map(\.offset)
        if left.count <= most, left.count == last.count { return left }
        last = left
      }
      throw HarnessProblem("the broker compacts nothing: \(last.count) records are left of \(topic)")
    }

    private func createTable(_ name: String, _ clickhouse: ClickHouseClient) async throws {
      _ = try await clickhouse.queryText(
        """
        CREATE TABLE \(name) (id UInt64, _topic String, _partition Int32, _offset Int64) ENGINE = MergeTree
        ORDER BY _offset SETTINGS non_replicated_deduplication_window = 10000
        """)
    }

    private func offsets(_ table: String, _ clickhouse: ClickHouseClient) async throws -> [Int64] {
      try await clickhouse.queryText("SELECT _offset FROM \(table) ORDER BY _offset").split(separator: "\n")
        .compactMap { Int64($0) }
    }

    private func expectNoLag(_ sink: SinkRun) async throws {
      try await sink.wait("no lag") { status in
        guard status.partitions.count == 1, let end = status.partitions[0].end else { return false }
        return status.partitions[0].committed == end && status.lag == 0
      }
    }

    private func configuration(
      _ topic: String, _ table: String, _ broker: KafkaBroker, _ url: String, _ delivery: DeliveryGuarantee
    ) -> PipelineConfiguration {
      var configuration = PipelineConfiguration.test(
        table, brokers: [broker.bootstrap], url: url, maxRows: 100_000)
      configuration.routes[0].topics = [topic]
      configuration.routes[0].delivery = delivery
      configuration.kafka.instanceID = "one"
      return configuration
    }

    @Test func holesAreNothingToWaitFor() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let broker = try await startBroker()
      let name = "compacted"
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      try await admin.createTopic(name, partitions: 1, settings: Self.settings, within: .patience)
      for round in 0..<6 { try await produce(300, from: round * 300, to: name, broker) }
      let left = try await compacted(name, to: 900, from: 1800, broker)
      for delivery in [DeliveryGuarantee.atLeastOnce, .exactlyOnce] {
        let table = "compacted_\(delivery.rawValue)"
        try await createTable(table, clickhouse)
        try await withSink(configuration(name, table, broker, servers.url, delivery)) { sink in
          try await expectNoLag(sink)
          #expect(await sink.stop() == nil)
        }
        let rows = try await offsets(table, clickhouse)
        // Compaction may have gone on behind the dump.
        #expect(rows.count == Set(rows).count && Set(rows).isSubset(of: left) && rows.last == left.last, "\(delivery)")
        #expect(!rows.isEmpty && rows.count < 1000, "\(rows.count) of \(left.last ?? 0) offsets had a record")
      }
    }

    /// Blocks were declared, and stored or not; then compaction ate most of their records. Made again, each is another
    /// block under the same token: what was stored stays as it was, what was not is what is left.
    @Test func pendingBlocksThatAreEaten() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let broker = try await startBroker()
      let name = "eaten"
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      try await admin.createTopic(name, partitions: 1, settings: Self.settings, within: .patience)
      try await produce(500, from: 0, to: name, broker)
      var stored: [String: [Int64]] = [:]
      for (table, step) in [("eaten_stored", ServerStep.forwardThenReset), ("eaten_lost", .resetBeforeBody)] {
        try await createTable(table, clickhouse)
        stored[table] = try await cutOff(name, table, step, broker, servers.url, clickhouse)
      }
      #expect(stored["eaten_lost"] == [] && (stored["eaten_stored"]?.count ?? 0) > 100, "\(stored.mapValues(\.count))")
      for round in 1..<4 { try await produce(300, from: 200 + round * 300, to: name, broker) }
      let left = try await compacted(name, to: 400, from: 1400, broker)
      #expect(left.count { $0 < 500 } < 200, "the blocks' records are still there")
      for (table, stored) in stored {
        try await withSink(configuration(name, table, broker, servers.url, .exactlyOnce)) { sink in
          try await expectNoLag(sink)
          #expect(sink.status.alarms.isEmpty)
          #expect(await sink.stop() == nil)
        }
        let rows = try await offsets(table, clickhouse)
        let leftNow = try await TopicDump.records(of: name, partitions: 1, brokers: [broker.bootstrap]).map(\.offset)
        #expect(rows.count == Set(rows).count, "\(table): \(rows.count - Set(rows).count) are there twice")
        #expect(Set(rows).isSuperset(of: stored), "\(table)")
        // Nothing of what is left is missing, and nothing else is there.
        #expect(Set(leftNow).subtracting(rows).isEmpty, "\(table)")
        #expect(Set(rows).isSubset(of: Set(left + stored + leftNow)), "\(table)")
      }
    }

    /// A run that ends while its first insert is under way, for ever.
    /// - Returns: the offsets that are stored.
    private func cutOff(
      _ topic: String, _ table: String, _ step: ServerStep, _ broker: KafkaBroker, _ url: String,
      _ clickhouse: ClickHouseClient
    ) async throws -> [Int64] {
      let scripted = try ScriptedServer(ServerScript(afterwards: step), forwardingTo: url)
      defer { scripted.stop() }
      var configuration = configuration(topic, table, broker, scripted.url, .exactlyOnce)
      configuration.limits.drain = .milliseconds(1)
      try await withSink(configuration) { sink in
        try await eventually("an insert") { !scripted.inserts.isEmpty }
        // The rest of what was read may be on its way too.
        try await Task.sleep(for: .milliseconds(500))
        _ = await sink.stop()
      }
      return try await offsets(table, clickhouse)
    }

    /// More than a block's share of the memory, more than librdkafka's queue: alone, it goes through.
    @Test func aRecordOfFortyMegabytes() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      var options = KafkaBroker.Options()
      options.properties = ["message.max.bytes": "67108864", "replica.fetch.max.bytes": "67108864"]
      let broker = try await KafkaBroker.start(version: "3.9.2", options)
      let name = "large"
      try await KafkaAdmin(brokers: [broker.bootstrap]).createTopic(name, partitions: 2, within: .patience)
      try await TestTable.create(name, clickhouse, window: 1000)
      let ledger = try RecordLedger(brokers: [broker.bootstrap])
      try await ledger.produce(100, to: name, partitions: 2)
      try await ledger.produce(1, to: name, partitions: 2, textBytes: 40_000_000)
      try await ledger.produce(100, to: name, partitions: 2)
      let configuration = PipelineConfiguration.test(name, brokers: [broker.bootstrap], url: servers.url)
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: ledger, within: .patience)
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger)
      #expect(try await clickhouse.queryText("SELECT max(length(text)) FROM \(name)") == "40000000\n")
    }
  }
}
