import ClickHouseClient
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import SinkTelemetry
import TestServers
import Testing

/// Topics become tables, on real servers; one at a time, since each starts servers of its own.
@Suite(.serialized) struct WholePathTests {
  static let columns = """
    id UInt64, name String, amount Nullable(Decimal(9, 2)), at DateTime64(3, 'UTC'), tag LowCardinality(String),
    list Array(Int16), seen DateTime DEFAULT now(), level UInt8 DEFAULT 7, _topic String, _partition Int32, _offset Int64
    """

  @Test(.needsEngine, .timeLimit(.minutes(10)))
  func aTopicOfTheMockClusterBecomesATable() async throws {
    let mock = try MockCluster()
    try mock.createTopic("events", partitions: 3)
    try mock.createTopic("events.dead", partitions: 1)
    try await move(through: mock.bootstrap)
    extendLifetime(mock)
  }

  @Test(.needsKafkaAndEngine, .timeLimit(.minutes(10)), arguments: ["3.9.2", "4.4.0"])
  func aTopicOfARealKafkaBecomesATable(version: String) async throws {
    let broker = try await KafkaBroker.start(version: version)
    let admin = try KafkaAdmin(brokers: [broker.bootstrap])
    try await admin.createTopic("events", partitions: 3, within: .patience)
    try await admin.createTopic("events.dead", partitions: 1, within: .patience)
    try await move(through: [broker.bootstrap])
    extendLifetime(broker)
  }

  @Test(.needsEngine, .timeLimit(.minutes(10)))
  func aTopicBecomesATableExactlyOnce() async throws {
    let mock = try MockCluster()
    try mock.createTopic("events", partitions: 3)
    try mock.createTopic("events.dead", partitions: 1)
    try await move(through: mock.bootstrap, .exactlyOnce)
    extendLifetime(mock)
  }

  /// Two runs with a stop between them; every offset is in the table once or among the dead letters, and values are what
  /// they were.
  private func move(through brokers: [String], _ delivery: DeliveryGuarantee = .atLeastOnce) async throws {
    let (front, url) = try await TestMachine.startFront()
    defer { front.stop() }
    let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: url))
    defer { clickhouse.close() }
    _ = try await clickhouse.queryText(
      "CREATE TABLE events (\(Self.columns)) ENGINE = MergeTree ORDER BY id "
        + "SETTINGS non_replicated_deduplication_window = 10000")

    let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: brokers))
    let total = 3000
    var unknownFields = 0
    for half in 0..<2 {
      for id in half * total / 2..<(half + 1) * total / 2 {
        try producer.send(topic: "events", partition: Int32(id % 3), value: Self.value(id)) { _ in }
      }
      try await producer.flush(within: .patience)
      let wanted = (half + 1) * total / 2
      unknownFields += try await run(brokers, url, delivery) { status in
        status.partitions.count == 3 && status.partitions.reduce(0) { $0 + Int($1.frontier) } >= wanted
      }
    }
    await producer.close(within: .seconds(10))
    #expect(unknownFields >= (0..<total).count { !Self.isTombstone($0) }, "one a record, more where one is read again")

    let expected = (0..<total).filter { !Self.isBad($0) && !Self.isTombstone($0) }
    let rows = try await clickhouse.queryText(
      "SELECT count(), uniqExact(_partition, _offset), sum(id), sum(level), sum(amount), sum(length(list)), "
        + "countIf(seen > toDateTime('2020-01-01')), uniqExact(tag), max(at) FROM events FORMAT TabSeparated")
    let cents = expected.filter { $0 % 2 == 0 }.reduce(0) { $0 + $1 * 100 + 25 }
    let lists = expected.reduce(0) { $0 + $1 % 4 }
    let sum = "\(cents / 100)" + (cents % 100 == 0 ? "" : cents % 10 == 0 ? ".\(cents % 100 / 10)" : ".\(cents % 100)")
    #expect(
      rows.split(whereSeparator: \.isWhitespace).map(String.init) == [
        "\(expected.count)", "\(expected.count)", "\(expected.reduce(0, +))", "\(expected.count * 7)", sum, "\(lists)",
        "\(expected.count)", "5", "2026-11-24", "10:00:59.123",
      ])
    let dead = try await deadLetters(brokers, count: (0..<total).count { Self.isBad($0) })
    #expect(dead.count == (0..<total).count { Self.isBad($0) })
    for record in dead {
      let reason = record.headers.first { $0.name == "sinkctl.reason" }?.value.map {
        String(decoding: $0, as: UTF8.self)
      }
      #expect(reason == "out_of_range")
    }
  }

  private static func isBad(_ id: Int) -> Bool { id % 500 == 17 }
  private static func isTombstone(_ id: Int) -> Bool { id % 700 == 3 }

  private static func value(_ id: Int) -> [UInt8]? {
    if isTombstone(id) { return nil }
    let amount = id % 2 == 0 ? "\(id).25" : "null"
    let level = isBad(id) ? #","level":70000"# : ""
    let list = (0..<id % 4).map { String($0) }.joined(separator: ",")
    return Array(
      #"{"id":\#(id),"name":"n\u00e4me \"\#(id)\"","amount":\#(amount),"at":"2026-11-24T10:00:\#(id % 60 < 10 ? "0" : "")\#(id % 60).123Z","tag":"t\#(id % 5)","list":[\#(list)],"more":{"x":[1]}\#(level)}"#
        .utf8)
  }

  /// - Returns: how many fields it has met that no column takes.
  private func run(
    _ brokers: [String], _ url: String, _ delivery: DeliveryGuarantee, until isDone: @Sendable (PipelineStatus) -> Bool
  ) async throws -> Int {
    let route = RouteConfiguration(
      topics: ["events"], table: "events", mapping: MappingConfiguration(unknownFields: .count), delivery: delivery,
      deadLetters: .topic("events.dead"), block: SealPolicy(maxRows: 400, linger: .milliseconds(200)))
    var kafka = KafkaConsumerConfiguration(brokers: brokers, group: "sink")
    if delivery == .exactlyOnce { kafka.instanceID = "one" }
    // The mock cluster keeps the second run waiting for the first one's session.
    kafka.sessionTimeout = .seconds(6)
    kafka.revokeDeadline = .milliseconds(2500)
    let pipeline = try Pipeline(
      PipelineConfiguration(
        kafka: kafka,
        clickhouse: ClickHouseConfiguration(url: url), routes: [route]))
    let work = Task { try await pipeline.run() }
    let deadline = ContinuousClock.now + .patience
    while !isDone(pipeline.status), ContinuousClock.now < deadline, pipeline.status.phase != .stopped {
      try await Task.sleep(for: .milliseconds(50))
    }
    #expect(isDone(pipeline.status), "\(pipeline.status)")
    work.cancel()
    try await work.value
    let counted = pipeline.metrics.first { $0.metric == PipelineMetric.unknownFields && $0.labelValues == ["events"] }
    guard case .number(let count) = counted?.value else { return 0 }
    return Int(count)
  }

  private func deadLetters(_ brokers: [String], count: Int) async throws -> [Record] {
    let consumer = try KafkaConsumer(KafkaConsumerConfiguration(brokers: brokers, group: "reader"))
    var records: [Record] = []
    for try await record in consumer.records(from: ["events.dead"]) {
      records.append(record)
      if records.count >= count { break }
    }
    return records
  }
}
