internal import ClickHouseClient
internal import KafkaClient

/// The columns that a dead letter table may have. It has at least one of them; of others it has defaults.
///
/// Values that are bytes (the record's key and value) go into `String` columns as they are.
enum DeadLetterTable {
  /// Name, and what it holds; docs/CONFIGURATION.md lists them.
  static let columns: [(name: String, value: @Sendable (Record, Rejection, String) -> ClickHouseValue)] = [
    ("_topic", { record, _, _ in .string(record.topic) }),
    ("_partition", { record, _, _ in .int(Int64(record.partition)) }),
    ("_offset", { record, _, _ in .int(record.offset) }),
    ("_timestamp", { record, _, _ in .dateTime64(ticks: max(0, record.timestampMilliseconds), precision: 3) }),
    ("_key", { record, _, _ in record.key.map { .bytes($0) } ?? .null }),
    ("_value", { record, _, _ in record.value.map { .bytes($0) } ?? .null }),
    (
      "_headers",
      { record, _, _ in
        .map(record.headers.map { ClickHouseMapEntry(.string($0.name), .bytes($0.value ?? [])) })
      }
    ),
    ("table", { _, _, table in .string(table) }),
    ("reason", { _, rejection, _ in .string(rejection.reason.rawValue) }),
    ("message", { _, rejection, _ in .string(rejection.message) }),
    ("column", { _, rejection, _ in rejection.column.map { .string($0) } ?? .null }),
    ("expected_type", { _, rejection, _ in rejection.expectedType.map { .string($0) } ?? .null }),
    ("value", { _, rejection, _ in rejection.value.map { .string($0) } ?? .null }),
  ]

  /// - Throws: where a column cannot take what it is for, such as `_offset UInt8`.
  static func append(
    _ record: Record, _ rejection: Rejection, table: String, to open: OpenBlock
  ) throws(ClickHouseError) {
    guard let layout = open.block?.layout else { preconditionFailure("a sealed block takes no more rows") }
    try open.block!.appendRow(values(record, rejection, table: table, layout: layout))
  }

  private static func values(
    _ record: Record, _ rejection: Rejection, table: String, layout: BlockLayout
  ) -> [(name: String, value: ClickHouseValue)] {
    columns.compactMap { column in
      guard let index = layout.index(of: column.name) else { return nil }
      let value = column.value(record, rejection, table)
      // What a record does not have is NULL where the column takes that, else the column's own default.
      if value == .null, !layout.types[index].acceptsNull { return nil }
      return (column.name, value)
    }
  }
}
