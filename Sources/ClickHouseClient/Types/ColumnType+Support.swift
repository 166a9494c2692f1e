extension ColumnType {
  /// Whether `Column` can hold, write and read it.
  public var isWritable: Bool { firstUnsupported == nil }

  /// The innermost part that cannot be written yet, or stands where ClickHouse does not allow it; `nil` where all of it
  /// can. For the error at start: it names this beside the column.
  public var firstUnsupported: String? {
    switch self {
    case .unsupported: return description
    case .decimal(let precision, _): return precision <= 38 ? nil : description
    case .nullable(let inner):
      switch inner {
      case .nullable, .lowCardinality, .array, .tuple, .map: return description
      default: return inner.firstUnsupported
      }
    case .lowCardinality(let inner): return inner.isDictionaryKey ? nil : description
    case .array(let inner): return inner.firstUnsupported
    case .tuple(let elements): return elements.lazy.compactMap(\.type.firstUnsupported).first
    case .map(let key, let value): return key.firstUnsupported ?? value.firstUnsupported
    default: return nil
    }
  }

  /// What `LowCardinality` may hold: strings, numbers, dates, or one of them as `Nullable`.
  private var isDictionaryKey: Bool {
    switch self {
    case .nullable(.nullable): false
    case .nullable(let inner): inner.isDictionaryKey
    case .string, .fixedString, .date, .date32, .dateTime, .int8, .int16, .int32, .int64, .uint8, .uint16, .uint32,
      .uint64, .float32, .float64, .uuid, .ipv4, .ipv6, .bool:
      true
    default: false
    }
  }

  /// Bytes of one value in a column; `nil` for strings and for what has columns of its own.
  public var fixedWidth: Int? {
    switch self {
    case .int8, .uint8, .bool, .enum8: 1
    case .int16, .uint16, .date, .enum16: 2
    case .int32, .uint32, .float32, .date32, .dateTime, .ipv4: 4
    case .int64, .uint64, .float64, .dateTime64: 8
    case .uuid, .ipv6: 16
    case .decimal(let precision, _): precision <= 9 ? 4 : precision <= 18 ? 8 : precision <= 38 ? 16 : 32
    case .fixedString(let size): size
    default: nil
    }
  }

  /// The type without the `Nullable` or `LowCardinality` around it.
  public var unwrapped: ColumnType {
    switch self {
    case .nullable(let inner), .lowCardinality(let inner): inner.unwrapped
    default: self
    }
  }

  /// Whether a NULL can be stored.
  public var acceptsNull: Bool {
    switch self {
    case .nullable: true
    case .lowCardinality(let inner): inner.acceptsNull
    default: false
    }
  }

  /// The bits of the type's own default, where they are not all zero: the enum's lowest value, Date32's first day.
  var defaultBits: UInt64 {
    switch self {
    case .enum8(let cases), .enum16(let cases): UInt64(truncatingIfNeeded: cases.first?.value ?? 0)
    // 1900-01-01, as `defaultValueOfTypeName('Date32')` says.
    case .date32: UInt64(truncatingIfNeeded: -25567)
    default: 0
    }
  }
}
