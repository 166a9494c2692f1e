/// A value of a JSON field, as a transform sees it.
public enum FieldValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// As it is written: nothing is lost between 64-bit integers, decimals and doubles.
  case number(String)
  case string(String)
  /// An array or object, as JSON text.
  case json(String)

  public static func integer(_ value: some FixedWidthInteger) -> FieldValue { .number("\(value)") }

  /// JSON has no word for numbers that are not finite: they become the strings that ClickHouse reads.
  public static func double(_ value: Double) -> FieldValue {
    value.isFinite ? .number("\(value)") : .string(value.isNaN ? "nan" : value < 0 ? "-inf" : "inf")
  }

  public var text: String? {
    if case .string(let text) = self { text } else { nil }
  }

  /// nil where it is no integer, or does not fit.
  public var int64: Int64? {
    if case .number(let text) = self { Int64(text) } else { nil }
  }

  /// nil where it is no integer, or does not fit.
  public var uint64: UInt64? {
    if case .number(let text) = self { UInt64(text) } else { nil }
  }

  /// The nearest one; nil where it is no number, or beyond what a double holds.
  public var double: Double? {
    guard case .number(let text) = self, let value = Double(text), value.isFinite else { return nil }
    return value
  }
}
