/// One value, owned: for rows written by hand and rows that a query gave back. The pipeline does not use it.
public indirect enum ClickHouseValue: Sendable, Hashable {
  case null
  case bool(Bool)
  case int(Int64)
  case uint(UInt64)
  /// `unscaled` × 10⁻ˢᶜᵃˡᵉ.
  case decimal(unscaled: Int128, scale: Int)
  case float32(Float)
  case float64(Double)
  case string(String)
  /// A string or fixed string that is not UTF-8.
  case bytes([UInt8])
  case uuid(high: UInt64, low: UInt64)
  /// Days since 1970-01-01.
  case date(days: Int32)
  /// Seconds since 1970-01-01 UTC.
  case dateTime(seconds: UInt32)
  /// Ticks of 10⁻ᵖʳᵉᶜⁱˢⁱᵒⁿ seconds since 1970-01-01 UTC.
  case dateTime64(ticks: Int64, precision: Int)
  case ipv4(UInt32)
  /// The sixteen bytes in network order, as two numbers.
  case ipv6(high: UInt64, low: UInt64)
  /// The name of an `Enum8`'s or `Enum16`'s value.
  case enumeration(String)
  case array([ClickHouseValue])
  case tuple([ClickHouseValue])
  case map([ClickHouseMapEntry])
}

/// One pair of a `Map`; a map keeps their order and may hold a key twice.
public struct ClickHouseMapEntry: Sendable, Hashable {
  public let key: ClickHouseValue
  public let value: ClickHouseValue

  public init(_ key: ClickHouseValue, _ value: ClickHouseValue) {
    self.key = key
    self.value = value
  }
}

extension ClickHouseValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .float64(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: ClickHouseValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (ClickHouseValue, ClickHouseValue)...) {
    self = .map(elements.map { ClickHouseMapEntry($0.0, $0.1) })
  }
}
