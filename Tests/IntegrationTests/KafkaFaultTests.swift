import ClickHouseClient
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealBrokerTests {
  /// A real broker that crashes, freezes, is far away or cut off, and topics that change.
  @Suite(.serialized, .needsKafkaAndEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct KafkaFaultTests {
    @Test func aBrokerThatCrashesFreezesAndIsCutOff() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let ports = try FreePorts.pick(1)
      var options = KafkaBroker.Options()
      options.proxies = TestMachine.toxiproxy == nil ? [] : ports
      let broker = try await KafkaBroker.start(version: "3.9.2", options)
      let proxy =
        TestMachine.toxiproxy == nil ? nil : try await SlowProxy(port: ports[0], target: broker.proxyTargets[0])
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      let name = "broker_faults"
      try await admin.createTopic(name, partitions: 3, within: .patience)
      try await TestTable.create(name, clickhouse, window: 1000)
      // The producer goes the direct way; the pipeline comes by the proxy.
      let ledger = try RecordLedger(brokers: [broker.bootstrap])
      let way = proxy == nil ? [broker.bootstrap] : ["127.0.0.1:\(ports[0])"]
      let configuration = PipelineConfiguration.test(name, brokers: way, url: servers.url)
      try await withSink(configuration) { sink in
        try await ledger.produce(600, to: name, partitions: 3)
        try await sink.waitForAll(of: ledger)

        try await ledger.produce(600, to: name, partitions: 3)
        try await broker.kill()
        try await Task.sleep(for: .seconds(1))
        try await broker.start()
        try await ledger.produce(600, to: name, partitions: 3)
        try await sink.waitForAll(of: ledger, within: .patience)

        broker.freeze()
        try await Task.sleep(for: .seconds(3))
        broker.resume()
        try await ledger.produce(600, to: name, partitions: 3)
        try await sink.waitForAll(of: ledger, within: .patience)

        if let proxy {
          try proxy.add("latency", #"{"latency":150,"jitter":50}"#)
          try await ledger.produce(600, to: name, partitions: 3)
          try await sink.waitForAll(of: ledger, within: .patience)
          try proxy.remove("latency")
          // Longer than the session: the partitions are lost, and come again.
          try proxy.setEnabled(false)
          try await ledger.produce(600, to: name, partitions: 3)
          try await Task.sleep(for: .seconds(8))
          try proxy.setEnabled(true)
          try await sink.waitForAll(of: ledger, within: .patience)
        }
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger, mayDouble: true)
    }

    /// Partitions are added, a topic that the pattern takes appears, and is deleted.
    @Test func topicsThatChange() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      var options = KafkaBroker.Options()
      // Else our producer's next look at the deleted topic would make it again.
      options.properties = ["auto.create.topics.enable": "false"]
      let broker = try await KafkaBroker.start(version: "4.4.0", options)
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      let name = "changing"
      try await admin.createTopic("\(name).a", partitions: 1, within: .patience)
      try await TestTable.create(name, clickhouse)
      let ledger = try RecordLedger(
        brokers: [broker.bootstrap], properties: ["topic.metadata.refresh.interval.ms": "500"])
      var configuration = PipelineConfiguration.test(name, brokers: [broker.bootstrap], url: servers.url)
      configuration.routes[0].topics = ["^\(name)\\..*"]
      configuration.kafka.properties = ["topic.metadata.refresh.interval.ms": "500"]
      try await withSink(configuration) { sink in
        try await ledger.produce(100, to: "\(name).a", partitions: 1)
        try await sink.waitForAll(of: ledger)
        try await admin.addPartitions("\(name).a", total: 3, within: .patience)
        try await admin.createTopic("\(name).b", partitions: 2, within: .patience)
        try await sink.wait("the new partitions") { $0.partitions.count == 5 }
        try await ledger.produce(300, to: "\(name).a", partitions: 3)
        try await ledger.produce(200, to: "\(name).b", partitions: 2)
        try await sink.waitForAll(of: ledger)

        try await admin.deleteTopic("\(name).b", within: .patience)
        try await sink.wait("the topic's partitions are gone") { $0.partitions.count == 3 }
        try await ledger.produce(300, to: "\(name).a", partitions: 3)
        try await sink.wait("the others go on") { status in
          status.rowsInserted == 900 && status.partitions.allSatisfy { $0.committed == $0.end }
        }
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger)
    }

    /// The marks of transactions and aborted records take offsets that nobody is handed: the frontier passes them, and no
    /// lag is left, also where an aborted transaction is the last of the log.
    @Test func marksOfTransactionsLeaveNoLag() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let broker = try await KafkaBroker.start(version: "3.9.2")
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      let name = "transactions"
      try await admin.createTopic(name, partitions: 1, within: .patience)
      try await TestTable.create(name, clickhouse)
      let producer = try TransactionalProducer(brokers: [broker.bootstrap], id: name)
      func write(isAborted: Bool) throws {
        try producer.begin()
        for id in 1...10 {
          try producer.send(topic: name, partition: 0, value: RecordLedger.value(id, .row, textBytes: 20) ?? [])
        }
        if isAborted { try producer.abort() } else { try producer.commit() }
      }
      let configuration = PipelineConfiguration.test(name, brokers: [broker.bootstrap], url: servers.url)
      try await withSink(configuration) { sink in
        // Ten records and a mark each.
        for isAborted in [false, true, false, true] { try write(isAborted: isAborted) }
        try await sink.wait("no lag is left") { status in
          status.partitions.count == 1 && status.partitions[0].committed == 44 && status.partitions[0].end == 44
            && status.lag == 0
        }
        #expect(sink.status.rowsInserted == 20)
        try write(isAborted: true)
        try await sink.wait("none after another one") { $0.partitions[0].committed == 55 && $0.lag == 0 }
        #expect(await sink.stop() == nil)
      }
      let offsets = try await clickhouse.queryText(
        "SELECT count(), uniqExact(_offset), countIf(_offset < 10), countIf(_offset >= 22 AND _offset < 32) FROM \(name)"
      )
      #expect(offsets.split(whereSeparator: \.isWhitespace) == ["20", "20", "10", "10"])
    }

    /// Retention takes records that nobody has read: reading goes on where the log begins, and the gap is said and counted.
    @Test func recordsThatRetentionTookAreCountedAndPassed() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      var options = KafkaBroker.Options()
      options.properties = ["log.retention.check.interval.ms": "300", "log.initial.task.delay.ms": "300"]
      let broker = try await KafkaBroker.start(version: "4.4.0", options)
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      let name = "retention"
      try await admin.createTopic(
        name, partitions: 1,
        settings: ["segment.bytes": "1048576", "retention.bytes": "1048576", "file.delete.delay.ms": "100"],
        within: .patience)
      try await TestTable.create(name, clickhouse)
      let ledger = try RecordLedger(brokers: [broker.bootstrap])
      var configuration = PipelineConfiguration.test(name, brokers: [broker.bootstrap], url: servers.url)
      try await ledger.produce(100, to: name, partitions: 1, textBytes: 2000)
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      // What the log still has is not left out: `latest` is for groups without an offset.
      configuration.kafka.start = .latest
      try await ledger.produce(4000, to: name, partitions: 1, textBytes: 2000)
      let partition = TopicPartition(name, 0)
      var low: Int64 = 0
      let deadline = ContinuousClock.now + .patience
      while low <= 100, ContinuousClock.now < deadline {
        low = try await admin.watermarks(partition, within: .patience).low
        try await Task.sleep(for: .milliseconds(200))
      }
      try #require(low > 100, "the broker has deleted nothing")
      let first = try await withSink(configuration) { sink in
        try await sink.waitForAll(of: ledger)
        let skipped = Int64(sink.value(PipelineMetric.offsetsSkipped))
        #expect(skipped >= low - 100)
        #expect(sink.lines.contains { $0.contains("retention was faster") })
        #expect(await sink.stop() == nil)
        return skipped + 100
      }
      await ledger.close()
      let rows = try await clickhouse.queryText(
        "SELECT countIf(_offset < 100), countIf(_offset >= 100), min(if(_offset < 100, 999999, _offset)) FROM \(name)")
      #expect(rows.split(whereSeparator: \.isWhitespace).map(String.init) == ["100", "\(4100 - first)", "\(first)"])
    }
  }
}
