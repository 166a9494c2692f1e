/// How a value goes into a column: resolved once from the column's type, read by the record loop.
struct ColumnOp {
  enum Kind: UInt8 {
    case int8, int16, int32, int64, uint8, uint16, uint32, uint64
    case float32, float64, bool
    case decimal32, decimal64, decimal128
    case string, fixedString, uuid, ipv4, ipv6
    case date, date32, dateTime, dateTime64
    case enum8, enum16
    case array, tuple, map
  }

  let kind: Kind
  var isNullable: Bool
  /// Bytes of a `FixedString`, decimals of a `Decimal`, digits of a `DateTime64`.
  var size: Int32 = 0
  /// Digits that a `Decimal` may have.
  var precision: Int32 = 0
  /// What the scaled value of a `Decimal` must stay below, where it fits.
  var limit: UInt64 = 0
  /// Index of the time zone, of the enum's names, of a named tuple's elements; -1 where there is none.
  var table: Int32 = -1
  /// The elements' ops: they lie together.
  var firstChild: Int32 = 0
  var childCount: Int32 = 0
}

/// What a column gets from where a record came, not from its value.
enum MetadataKind: UInt8, Sendable, CaseIterable {
  case topic, partition, offset, timestamp, key, headers

  /// The column's name.
  var name: String {
    switch self {
    case .topic: "_topic"
    case .partition: "_partition"
    case .offset: "_offset"
    case .timestamp: "_timestamp"
    case .key: "_key"
    case .headers: "_headers"
    }
  }
}

/// What a column gets when a record has no field for it.
enum ColumnFill: Sendable, Equatable {
  /// The type's own default: 0, "", an empty array.
  case typeDefault
  case null
  /// A literal DEFAULT, as JSON text that the column's own op reads.
  case literal([UInt8])
  case metadata(MetadataKind)
}
