/// Why bytes are not JSON (RFC 8259). A byte in size: throwing it costs nothing that a record loop would notice.
@frozen public enum JSONError: UInt8, Error, Sendable {
  /// The text ends inside a value.
  case truncated
  /// A character that cannot stand where it stands.
  case unexpected
  /// `\` followed by what is no escape, or half of a surrogate pair.
  case badEscape
  /// A control character inside a string.
  case controlCharacter
  /// Bytes that are not UTF-8.
  case badUTF8
  /// A number such as `01`, `1.` or `+1`.
  case badNumber
  /// Arrays and objects inside each other beyond the bound.
  case tooDeep
  /// Something after the value.
  case trailing

  public var words: String {
    switch self {
    case .truncated: "the text ends inside a value"
    case .unexpected: "an unexpected character"
    case .badEscape: "a bad escape in a string"
    case .controlCharacter: "a control character in a string"
    case .badUTF8: "bytes that are not UTF-8"
    case .badNumber: "a malformed number"
    case .tooDeep: "arrays and objects nested too deep"
    case .trailing: "more text after the value"
    }
  }
}
