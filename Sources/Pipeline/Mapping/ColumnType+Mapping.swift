internal import ClickHouseClient

extension ColumnType {
  /// What the values of such a column need; wrappers taken off.
  var opKind: ColumnOp.Kind {
    switch self {
    case .int8: .int8
    case .int16: .int16
    case .int32: .int32
    case .int64: .int64
    case .uint8: .uint8
    case .uint16: .uint16
    case .uint32: .uint32
    case .uint64: .uint64
    case .float32: .float32
    case .float64: .float64
    case .bool: .bool
    case .decimal(let precision, _): precision <= 9 ? .decimal32 : precision <= 18 ? .decimal64 : .decimal128
    case .string: .string
    case .fixedString: .fixedString
    case .uuid: .uuid
    case .ipv4: .ipv4
    case .ipv6: .ipv6
    case .date: .date
    case .date32: .date32
    case .dateTime: .dateTime
    case .dateTime64: .dateTime64
    case .enum8: .enum8
    case .enum16: .enum16
    case .array: .array
    case .tuple: .tuple
    case .map: .map
    case .nullable(let inner), .lowCardinality(let inner): inner.opKind
    case .unsupported: preconditionFailure("an unsupported type is a problem of the plan")
    }
  }

  /// Types of what lies inside: an array's elements, a tuple's, a map's keys and values.
  var elementTypes: [ColumnType] {
    switch self {
    case .array(let element): [element]
    case .tuple(let elements): elements.map(\.type)
    case .map(let key, let value): [key, value]
    default: []
    }
  }

  /// The type with NULL for "left out"; nil where ClickHouse has none, or where NULL means something already.
  var madeNullable: ColumnType? {
    switch self {
    case .nullable, .array, .tuple, .map, .unsupported: nil
    case .lowCardinality(let inner):
      if case .nullable = inner { nil } else { .lowCardinality(.nullable(inner)) }
    default: .nullable(self)
    }
  }
}

extension MetadataKind {
  /// Why a column of this name and type cannot be filled; nil where it can.
  func problem(with type: ColumnType) -> String? {
    let inner = type.unwrapped
    let fits: Bool
    let wanted: String
    switch self {
    case .topic: (fits, wanted) = (inner == .string, "String or LowCardinality(String)")
    case .partition: (fits, wanted) = ([.int32, .int64, .uint32, .uint64].contains(inner), "Int32 or a wider integer")
    case .offset: (fits, wanted) = ([.int64, .uint64].contains(inner), "Int64 or UInt64")
    case .timestamp:
      switch inner {
      case .dateTime, .dateTime64, .int64, .uint64: fits = true
      default: fits = false
      }
      wanted = "DateTime64(3), DateTime, Int64 or UInt64 (milliseconds)"
    case .key: (fits, wanted) = (inner == .string, "String or Nullable(String)")
    case .headers:
      (fits, wanted) = (inner == .map(key: .string, value: .string), "Map(String, String)")
    }
    return fits ? nil : "is filled with the record's \(name.dropFirst()) and must be \(wanted), not \(type); or map it"
  }
}
