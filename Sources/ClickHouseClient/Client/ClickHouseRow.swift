/// One row of a query's answer: values with the columns' names and types.
public struct ClickHouseRow: Sendable {
  /// The names and types of the columns, which the rows of a block share.
  public let layout: BlockLayout
  public let values: [ClickHouseValue]

  /// The value of a column; `nil` where the answer has none of that name. NULL is `.null`.
  public subscript(name: String) -> ClickHouseValue? { layout.index(of: name).map { values[$0] } }
}

extension ClickHouseValue {
  public var isNull: Bool { self == .null }

  /// A whole number that fits; `nil` for anything else.
  public func integer<T: FixedWidthInteger>(as type: T.Type = Int.self) -> T? {
    switch self {
    case .int(let value): T(exactly: value)
    case .uint(let value): T(exactly: value)
    default: nil
    }
  }

  /// A number as a `Double`, exactly; `nil` for anything else.
  public var double: Double? {
    switch self {
    case .float32(let value): Double(value)
    case .float64(let value): value
    case .int(let value): Double(exactly: value)
    case .uint(let value): Double(exactly: value)
    default: nil
    }
  }

  /// Text, or the name of an enum's value; `nil` for anything else, also for strings that are no UTF-8.
  public var string: String? {
    switch self {
    case .string(let text), .enumeration(let text): text
    default: nil
    }
  }
}
