/// The type of a column, as ClickHouse names it. `parse` reads what `DESCRIBE` and Native blocks say; `description` spells
/// it back the way the server does on one line.
///
/// Source: ClickHouse, "Data types".
public indirect enum ColumnType: Sendable, Hashable {
  case int8, int16, int32, int64
  case uint8, uint16, uint32, uint64
  case float32, float64
  case bool
  /// `precision` decimal digits, 1…76, of which `scale` come after the point. Stored as an integer of 4, 8, 16 or 32 bytes.
  case decimal(precision: Int, scale: Int)
  case string
  /// A string of exactly so many bytes; a shorter value is filled with zero bytes.
  case fixedString(Int)
  case uuid
  /// Days since 1970-01-01 in 16 bits: up to 2149-06-06.
  case date
  /// Days since 1970-01-01, signed: 1900-01-01 to 2299-12-31.
  case date32
  /// Seconds since 1970-01-01 UTC in 32 bits; the zone is only how it is printed and read as text.
  case dateTime(zone: String?)
  /// Ticks of 10⁻ᵖʳᵉᶜⁱˢⁱᵒⁿ seconds since 1970-01-01 UTC, signed; `precision` is 0…9.
  case dateTime64(precision: Int, zone: String?)
  /// Named values, in the order of their numbers.
  case enum8([EnumCase])
  case enum16([EnumCase])
  case ipv4, ipv6
  case nullable(ColumnType)
  case lowCardinality(ColumnType)
  case array(ColumnType)
  case tuple([TupleElement])
  case map(key: ColumnType, value: ColumnType)
  /// A type that a server may have and this library neither writes nor reads; the text is the server's.
  case unsupported(String)
}

/// One name of an `Enum8` or `Enum16`.
public struct EnumCase: Sendable, Hashable {
  public let name: String
  public let value: Int16

  public init(_ name: String, _ value: Int16) {
    self.name = name
    self.value = value
  }
}

/// One element of a `Tuple`; `name` is `nil` where the type names none.
public struct TupleElement: Sendable, Hashable {
  public let name: String?
  public let type: ColumnType

  public init(_ name: String? = nil, _ type: ColumnType) {
    self.name = name
    self.type = type
  }
}

extension ColumnType: CustomStringConvertible {
  public var description: String {
    switch self {
    case .decimal(let precision, let scale): "Decimal(\(precision), \(scale))"
    case .fixedString(let size): "FixedString(\(size))"
    case .dateTime(let zone): zone.map { "DateTime(\(quoted($0)))" } ?? "DateTime"
    case .dateTime64(let precision, let zone):
      zone.map { "DateTime64(\(precision), \(quoted($0)))" } ?? "DateTime64(\(precision))"
    case .enum8(let cases): "Enum8(\(describe(cases)))"
    case .enum16(let cases): "Enum16(\(describe(cases)))"
    case .nullable(let inner): "Nullable(\(inner))"
    case .lowCardinality(let inner): "LowCardinality(\(inner))"
    case .array(let inner): "Array(\(inner))"
    case .tuple(let elements): "Tuple(\(describe(elements)))"
    case .map(let key, let value): "Map(\(key), \(value))"
    case .unsupported(let text): text
    default: Self.plainNames.first { $0.type == self }?.name ?? "?"
    }
  }

  /// Types that are a name without arguments, as the server spells them.
  static let plainNames: [(name: String, type: ColumnType)] = [
    ("Int8", .int8), ("Int16", .int16), ("Int32", .int32), ("Int64", .int64),
    ("UInt8", .uint8), ("UInt16", .uint16), ("UInt32", .uint32), ("UInt64", .uint64),
    ("Float32", .float32), ("Float64", .float64), ("Bool", .bool), ("String", .string), ("UUID", .uuid),
    ("Date", .date), ("Date32", .date32), ("IPv4", .ipv4), ("IPv6", .ipv6),
  ]
}

private func describe(_ cases: [EnumCase]) -> String {
  cases.map { "\(quoted($0.name)) = \($0.value)" }.joined(separator: ", ")
}

private func describe(_ elements: [TupleElement]) -> String {
  elements.map { element in element.name.map { "\(identifier($0)) \(element.type)" } ?? "\(element.type)" }
    .joined(separator: ", ")
}

/// In single quotes with the escapes that the server writes.
func quoted(_ text: String) -> String { "'" + escaped(text, quote: "'") + "'" }

private func escaped(_ text: String, quote: Unicode.Scalar) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\u{8}": result += "\\b"
    case "\u{c}": result += "\\f"
    case "\n": result += "\\n"
    case "\r": result += "\\r"
    case "\t": result += "\\t"
    case "\0": result += "\\0"
    case "\\": result += "\\\\"
    case quote: result += "\\" + String(quote)
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// As it is where it is a plain identifier, else in back quotes.
private func identifier(_ name: String) -> String {
  let isPlain =
    name.utf8.first.map { isLetter($0) } ?? false && name.utf8.allSatisfy { isLetter($0) || isDigit($0) }
  return isPlain ? name : "`" + escaped(name, quote: "`") + "`"
}

func isLetter(_ byte: UInt8) -> Bool { byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7a || byte == 0x5f }
func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
