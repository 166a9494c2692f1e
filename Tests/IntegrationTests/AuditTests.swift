import ClickHouseClient
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealServerTests {
  /// `Pipeline.audit` after a real run: all is well; then rows and dead letters are taken out and put in, and exactly these
  /// are found.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct AuditTests {
    @Test(arguments: [false, true]) func whatWasBrokenIsFound(inTable: Bool) async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let site = AuditSite(
        name: "audit_\(inTable ? "table" : "topic")", brokers: servers.brokers, url: servers.url,
        clickhouse: clickhouse,
        mock: servers.mock)
      try await site.fill(
        deadLetters: inTable ? .table("\(site.name)_letters") : .topic("\(site.name).dead"), refuses: true)
      try await site.expectClean()
      try await site.breakThings()
      try await site.expectBroken()
    }

    @Test(.enabled(if: ClickHouseServer.program != nil, "clickhouse-server is not installed: run scripts/test"))
    func onAnOldServer() async throws {
      let servers = try SharedServers.required()
      let server = try await ClickHouseServer.start()
      let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: server.url))
      defer { clickhouse.close() }
      let site = AuditSite(
        name: "audit_old", brokers: servers.brokers, url: server.url, clickhouse: clickhouse, mock: servers.mock)
      try await site.fill(deadLetters: .table("\(site.name)_letters"), refuses: false)
      try await site.expectClean()
      try await site.breakThings()
      try await site.expectBroken()
      extendLifetime(server)
    }

    @Test func aTableThatDoesNotSayWhereRowsCameFromIsRefused() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let name = "audit_refused"
      try servers.mock.createTopic(name, partitions: 1)
      _ = try await clickhouse.queryText(
        "CREATE TABLE \(name) (id UInt64, _offset Int64) ENGINE = MergeTree ORDER BY id")
      let pipeline = try Pipeline(.test(name, brokers: servers.brokers, url: servers.url))
      let error = await #expect(throws: PipelineError.self) { try await pipeline.audit() }
      #expect(error?.code == .configuration)
      let words = try #require(error?.details.first)
      let statement = try #require(words.firstRange(of: "ALTER TABLE")).lowerBound
      let end = try #require(words.firstRange(of: ";")).lowerBound
      // Word for word what helps.
      _ = try await clickhouse.queryText(String(words[statement..<end]))
      let second = await #expect(throws: PipelineError.self) {
        try await RecordLedger(brokers: servers.brokers).produce(1, to: name, partitions: 1)
        return try await pipeline.audit()
      }
      #expect(second?.message.contains("has committed nothing") == true, "\(String(describing: second))")
      let report = try await pipeline.audit(AuditRequest(to: .offset(1)))
      #expect(report.tally.missing == 1 && report.partitions[0].findings[0].kind == .missingRow)
    }

    /// Offsets that no reader gets are gaps of the log and not of the table: markers, aborted and compacted records.
    @Test(.enabled(if: TestMachine.kafkaScript != nil, "needs Java and SINK_KAFKA_BROKER_SCRIPT"))
    func gapsOfTheLogAreNoGapsOfTheTable() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      var options = KafkaBroker.Options()
      options.properties = [
        "log.cleaner.backoff.ms": "100", "log.initial.task.delay.ms": "100", "log.retention.check.interval.ms": "300",
      ]
      let broker = try await KafkaBroker.start(version: "4.4.0", options)
      try await abortedRecordsAndMarkers(broker, servers, clickhouse)
      try await compactedRecords(broker, servers, clickhouse)
      extendLifetime(broker)
    }

    private func abortedRecordsAndMarkers(
      _ broker: KafkaBroker, _ servers: SharedServers, _ clickhouse: ClickHouseClient
    ) async throws {
      let name = "audit_aborted"
      try await KafkaAdmin(brokers: [broker.bootstrap]).createTopic(name, partitions: 1, within: .patience)
      try await TestTable.create(name, clickhouse, constraint: false)
      let producer = try TransactionalProducer(brokers: [broker.bootstrap], id: name)
      for (index, isAborted) in [false, true, false, true].enumerated() {
        try producer.begin()
        for _ in 0..<10 + index { try producer.send(topic: name, partition: 0, value: Self.value) }
        if isAborted { try producer.abort() } else { try producer.commit() }
      }
      let configuration = PipelineConfiguration.test(name, brokers: [broker.bootstrap], url: servers.url)
      try await withSink(configuration) { sink in
        try await sink.wait("all of them") { $0.partitions.first?.committed == 50 }
        // While it runs: an audit is no member of the group.
        let report = try await Pipeline(configuration).audit()
        #expect(report.isClean && report.tally.rows == 22 && report.tally.notInLog == 28, "\(report)")
        #expect(report.tally.keptThoughNotInLog == 0)
        #expect(await sink.stop() == nil)
      }
      // A gap of the table that goes over the aborted records is one.
      _ = try await clickhouse.queryText("TRUNCATE TABLE \(name)")
      let broken = try await Pipeline(configuration).audit()
      #expect(
        broken.partitions[0].findings == [AuditFinding(.missingRow, firstOffset: 0, lastOffset: 34, offsets: 22)])
    }

    private func compactedRecords(
      _ broker: KafkaBroker, _ servers: SharedServers, _ clickhouse: ClickHouseClient
    ) async throws {
      let name = "audit_compacted"
      try await KafkaAdmin(brokers: [broker.bootstrap]).createTopic(
        name, partitions: 1,
        settings: ["cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "500"],
        within: .patience)
      try await TestTable.create(name, clickhouse, constraint: false)
      let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: [broker.bootstrap]))
      func send(_ keys: Range<Int>) async throws {
        for key in keys {
          try producer.send(topic: name, partition: 0, key: Array("k\(key)".utf8), value: Self.value) { _ in }
        }
        try await producer.flush(within: .patience)
      }
      for _ in 0..<3 { try await send(0..<20) }
      let configuration = PipelineConfiguration.test(name, brokers: [broker.bootstrap], url: servers.url)
      try await withSink(configuration) { sink in
        try await sink.wait("all of them") { $0.partitions.first?.committed == 60 }
        #expect(await sink.stop() == nil)
      }
      // Keys that have come again are compacted away after they were inserted.
      let pipeline = try Pipeline(configuration)
      var report = try await pipeline.audit()
      let deadline = ContinuousClock.now + .patience
      while report.tally.keptThoughNotInLog == 0, ContinuousClock.now < deadline {
        // A new segment, so that the ones before it may be cleaned.
        try await Task.sleep(for: .milliseconds(600))
        try await send(0..<1)
        report = try await pipeline.audit()
      }
      await producer.close(within: .seconds(5))
      #expect(report.tally.keptThoughNotInLog > 0, "nothing was compacted: \(report)")
      #expect(report.isClean && report.tally.offsets == 60, "\(report)")
      #expect(report.partitions[0].notInLog.reduce(0) { $0 + $1.offsets } == report.tally.keptThoughNotInLog)
      // Such a row that is doubled is doubled all the same.
      let stray = try #require(report.partitions[0].notInLog.first?.firstOffset)
      _ = try await clickhouse.queryText("INSERT INTO \(name) SELECT * FROM \(name) WHERE _offset = \(stray)")
      let broken = try await pipeline.audit()
      #expect(
        broken.partitions[0].findings == [
          AuditFinding(.doubled(rows: 2, deadLetters: 0), firstOffset: stray, lastOffset: stray, offsets: 1)
        ])
    }

    private static let value = Array(#"{"id": 1, "kind": "fine", "level": 1, "checksum": 0, "text": ""}"#.utf8)
  }
}

/// A topic, its table and its dead letters, filled by a run and then broken.
private final class AuditSite: @unchecked Sendable {
  // Sendable: used by one test at a time.
  struct DropSome: Transform {
    func apply(to record: inout RecordFields) throws(Rejection) -> Verdict {
      (record["id"]?.int64 ?? 1) % 53 == 0 ? .drop : .keep
    }
  }

  let name: String
  let url: String
  let clickhouse: ClickHouseClient
  private let brokers: [String]
  private let mock: MockCluster
  private var pipeline: Pipeline?
  private var entries: [RecordLedger.Place: RecordLedger.Entry] = [:]
  private var deadLetters = DeadLetterPolicy.stop
  /// What was broken.
  private var faults: [RecordLedger.Place: AuditFinding.Kind] = [:]

  init(name: String, brokers: [String], url: String, clickhouse: ClickHouseClient, mock: MockCluster) {
    self.name = name
    self.brokers = brokers
    self.url = url
    self.clickhouse = clickhouse
    self.mock = mock
  }

  /// - Parameter refuses: whether the table refuses some rows, which the decoder takes.
  func fill(deadLetters: DeadLetterPolicy, refuses: Bool) async throws {
    self.deadLetters = deadLetters
    try mock.createTopic(name, partitions: 3)
    try mock.createTopic("\(name).dead", partitions: 2)
    try await TestTable.create(name, clickhouse, constraint: refuses)
    // 18.16 knows no Map.
    let columns = "_topic String, _partition Int32, _offset Int64, reason String, _value Nullable(String)"
    _ = try await clickhouse.queryText(
      "CREATE TABLE \(name)_letters (\(columns)) ENGINE = MergeTree ORDER BY (_topic, _partition, _offset)")
    let ledger = try RecordLedger(brokers: brokers)
    try await ledger.produce(2000, to: name, partitions: 3) { id in
      switch id {
      case let id where id % 97 == 5: .bad
      case let id where id % 131 == 7: .tombstone
      case 300, 303, 450, 777: refuses ? .refused : .row
      default: .row
      }
    }
    await ledger.close()
    entries = ledger.entries
    var configuration = PipelineConfiguration.test(name, brokers: brokers, url: url, deadLetters: deadLetters)
    configuration.routes[0].transforms = ["drop_some"]
    let transforms = ["drop_some": DropSome()]
    try await withSink(configuration, transforms: transforms) { sink in
      try await sink.waitForAll(of: ledger)
      #expect(await sink.stop() == nil)
    }
    pipeline = try Pipeline(configuration, transforms: transforms)
  }

  private func isFiltered(_ entry: RecordLedger.Entry) -> Bool { entry.id % 53 == 0 && entry.fate != .tombstone }

  private func audit(_ request: AuditRequest = AuditRequest()) async throws -> AuditReport {
    try await #require(pipeline).audit(request)
  }

  func expectClean() async throws {
    let report = try await audit()
    #expect(report.isClean, "\(report)")
    let tally = report.tally
    let (all, kept) = (Array(entries.values), entries.values.filter { !isFiltered($0) })
    #expect(tally.offsets == all.count && tally.filtered == all.count - kept.count, "\(tally)")
    #expect(tally.rows == kept.count { $0.fate == .row }, "\(tally)")
    #expect(tally.deadLetters == kept.count { $0.fate == .bad || $0.fate == .refused }, "\(tally)")
    #expect(tally.tombstones == all.count { $0.fate == .tombstone } && tally.notInLog == 0, "\(tally)")
    #expect(tally.elsewhere == 0 && tally.repeatedDeadLetters == 0, "\(tally)")
    let part = try await audit(AuditRequest(partitions: [1], from: .offset(100), to: .offset(200)))
    #expect(part.partitions.map(\.partition) == [1] && part.isClean && part.tally.offsets == 100, "\(part)")
  }

  /// Takes rows and dead letters out, and puts some in twice.
  func breakThings() async throws {
    let places = entries.keys.sorted()
    func some(_ count: Int, _ fate: RecordLedger.Fate, from start: Int) -> [RecordLedger.Place] {
      let fitting = places.filter { entries[$0]!.fate == fate && !isFiltered(entries[$0]!) }
      return Array(fitting[start..<start + count])
    }
    let gone = some(50, .row, from: 100)
    for place in gone { faults[place] = .missingRow }
    try await delete(gone, from: name)
    let twice = some(7, .row, from: 900)
    for place in twice { faults[place] = .doubled(rows: 2, deadLetters: 0) }
    _ = try await clickhouse.queryText("INSERT INTO \(name) SELECT * FROM \(name) WHERE \(Self.condition(twice))")
    // A dead letter that is a row besides.
    let both = some(1, .bad, from: 3)
    faults[both[0]] = .doubled(rows: 1, deadLetters: 1)
    _ = try await clickhouse.queryText(
      "INSERT INTO \(name) (id, _topic, _partition, _offset) VALUES (1, '\(name)', \(both[0].partition), \(both[0].offset))"
    )
    let lost = some(2, .bad, from: 6)
    let again = some(1, .bad, from: 9)
    if case .table = deadLetters {
      for place in lost { faults[place] = .missingDeadLetter }
      try await delete(lost, from: "\(name)_letters")
      faults[again[0]] = .doubled(rows: 0, deadLetters: 2)
      _ = try await clickhouse.queryText(
        "INSERT INTO \(name)_letters SELECT * FROM \(name)_letters WHERE \(Self.condition(again))")
    } else {
      let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: brokers))
      let headers = [
        ("sinkctl.topic", name), ("sinkctl.partition", "\(again[0].partition)"),
        ("sinkctl.offset", "\(again[0].offset)"),
      ]
      try producer.send(
        topic: "\(name).dead", partition: 0, value: [0x7B], headers: headers.map { Record.Header($0.0, $0.1) }
      ) { _ in }
      try await producer.flush(within: .patience)
      await producer.close(within: .seconds(5))
    }
  }

  private static func condition(_ places: [RecordLedger.Place]) -> String {
    places.map { "(_partition = \($0.partition) AND _offset = \($0.offset))" }.joined(separator: " OR ")
  }

  /// By a mutation, which old servers carry out later.
  private func delete(_ places: [RecordLedger.Place], from table: String) async throws {
    let condition = Self.condition(places)
    _ = try await clickhouse.queryText("ALTER TABLE \(table) DELETE WHERE \(condition)")
    let deadline = ContinuousClock.now + .patience
    while try await clickhouse.queryText("SELECT count() FROM \(table) WHERE \(condition)") != "0\n" {
      guard ContinuousClock.now < deadline else { throw HarnessProblem("\(table) still has what was deleted") }
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  func expectBroken() async throws {
    let report = try await audit(AuditRequest(findingsMax: 1000))
    var found: [RecordLedger.Place: AuditFinding.Kind] = [:]
    for partition in report.partitions {
      #expect(partition.findings.count == partition.findingsInAll)
      for finding in partition.findings {
        for offset in finding.firstOffset...finding.lastOffset {
          found[RecordLedger.Place(topic: name, partition: partition.partition, offset: offset)] = finding.kind
        }
      }
    }
    #expect(found == faults)
    let missing = faults.values.count { $0 == .missingRow || $0 == .missingDeadLetter }
    #expect(report.tally.missing == missing && report.tally.doubled == faults.count - missing, "\(report.tally)")
    #expect(report.tally.offsets == entries.count && !report.isClean)
    if case .topic = deadLetters { #expect(report.tally.repeatedDeadLetters == 1) }
  }
}
