/// Why a record cannot become a row.
public struct Rejection: Error, Sendable, Equatable {
  /// Stable names: labels of metrics, headers of dead letters.
  public enum Reason: String, Sendable, CaseIterable {
    case invalidJSON = "invalid_json"
    case invalidUTF8 = "invalid_utf8"
    /// The value is JSON, but no object.
    case notAnObject = "not_an_object"
    case outOfRange = "out_of_range"
    /// A string where a number is wanted, and the like.
    case wrongKind = "wrong_kind"
    /// More decimals than the column keeps.
    case losesPrecision = "loses_precision"
    case unknownEnumValue = "unknown_enum_value"
    case badDate = "bad_date"
    case tooLong = "too_long"
    case nullNotAllowed = "null_not_allowed"
    case duplicateKey = "duplicate_key"
    case unknownField = "unknown_field"
    case tooDeep = "too_deep"
    /// A transform said no.
    case transform
    /// Only ClickHouse saw what is wrong.
    case server
  }

  public let reason: Reason
  public var column: String?
  public var expectedType: String?
  /// The value's first 64 bytes, or the field's name.
  public var value: String?
  public let message: String

  public init(
    reason: Reason, column: String? = nil, expectedType: String? = nil, value: String? = nil, message: String
  ) {
    self.reason = reason
    self.column = column
    self.expectedType = expectedType
    self.value = value
    self.message = message
  }
}
