import ClickHouseClient
import KafkaClient
import KafkaTestKit
import Synchronization
import TestServers
import Testing

@testable import Pipeline

/// Columns that are filled from where a record came, in every type that they may have.
@Suite struct MetadataColumnTests {
  /// By column: its types, and what the first and the second record must show.
  static let cases: [(name: String, type: String, first: ClickHouseValue, second: ClickHouseValue)] = [
    ("_topic", "String", "origins", "origins"),
    ("_topic", "LowCardinality(String)", "origins", "origins"),
    ("_partition", "Int32", 1, 1),
    ("_partition", "UInt32", .uint(1), .uint(1)),
    ("_partition", "Int64", 1, 1),
    ("_partition", "Nullable(UInt64)", .uint(1), .uint(1)),
    ("_offset", "Int64", 0, 1),
    ("_offset", "UInt64", .uint(0), .uint(1)),
    ("_timestamp", "DateTime", .dateTime(seconds: 1_795_514_400), .dateTime(seconds: 1_795_514_401)),
    (
      "_timestamp", "DateTime64(3)", .dateTime64(ticks: 1_795_514_400_123, precision: 3),
      .dateTime64(ticks: 1_795_514_401_999, precision: 3)
    ),
    (
      "_timestamp", "DateTime64(6, 'UTC')", .dateTime64(ticks: 1_795_514_400_123_000, precision: 6),
      .dateTime64(ticks: 1_795_514_401_999_000, precision: 6)
    ),
    (
      "_timestamp", "DateTime64(1)", .dateTime64(ticks: 17_955_144_001, precision: 1),
      .dateTime64(ticks: 17_955_144_019, precision: 1)
    ),
    ("_timestamp", "Int64", 1_795_514_400_123, 1_795_514_401_999),
    ("_timestamp", "UInt64", .uint(1_795_514_400_123), .uint(1_795_514_401_999)),
    ("_key", "String", "k", ""),
    ("_key", "Nullable(String)", "k", .null),
    ("_key", "LowCardinality(String)", "k", ""),
    (
      "_headers", "Map(String, String)",
      .map([ClickHouseMapEntry("a", "1"), ClickHouseMapEntry("a", ""), ClickHouseMapEntry("b", "")]), .map([])
    ),
  ]

  @Test(.timeLimit(.minutes(10))) func metadataGoesIntoItsColumns() async throws {
    let mock = try MockCluster()
    try mock.createTopic("origins", partitions: 2)
    let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: mock.bootstrap))
    let headers = [Record.Header("a", Array("1".utf8)), Record.Header("a", []), Record.Header("b", nil)]
    _ = try await producer.send(
      topic: "origins", partition: 1, key: Array("k".utf8), value: Array(#"{"id":7}"#.utf8), headers: headers,
      timestampMilliseconds: 1_795_514_400_123)
    _ = try await producer.send(
      topic: "origins", partition: 1, value: Array(#"{"id":8}"#.utf8), timestampMilliseconds: 1_795_514_401_999)
    await producer.close(within: .seconds(10))

    let rows = Mutex<[[ClickHouseValue]]>([])
    let consumer = try KafkaConsumer(KafkaConsumerConfiguration(brokers: mock.bootstrap, group: "metadata"))
    let work = Task {
      try await consumer.forEachBatch(from: ["origins"], commitInterval: nil) { batch in
        for index in 0..<batch.count {
          let row = try Self.cases.map { try Self.value(batch[index], $0.name, $0.type) }
          rows.withLock { $0.append(row) }
        }
      }
    }
    try await eventually("both rows") { rows.withLock(\.count) >= 2 }
    work.cancel()
    try await work.value
    let found = rows.withLock { $0 }
    try #require(found.count == 2)
    for (index, wanted) in Self.cases.enumerated() {
      #expect(found[0][index] == wanted.first, "\(wanted.name) \(wanted.type)")
      #expect(found[1][index] == wanted.second, "\(wanted.name) \(wanted.type)")
    }
    extendLifetime(mock)
  }

  private static func value(
    _ record: borrowing RecordView, _ name: String, _ type: String
  ) throws -> ClickHouseValue {
    let columns = [
      ColumnDescription(name: "id", type: .uint8), ColumnDescription(name: name, type: try ColumnType.parse(type)),
    ]
    let plan = try RecordPlan.resolve(
      table: TableDescription(name: try TableName("t"), engine: "", columns: columns),
      mapping: MappingConfiguration(), zones: ["UTC": .utc],
      server: ServerTraits(zone: "UTC", nullAsDefault: true, times: .wide)
    ).get()
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    guard case .row = decoder.append(record, to: &block) else { throw Rejection(reason: .wrongKind, message: type) }
    return block.value(row: 0, column: 1)
  }
}
