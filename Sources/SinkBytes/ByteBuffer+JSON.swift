extension ByteBuffer {
  /// Appends a text as a JSON string, quotes included.
  public mutating func append(jsonString text: String) {
    append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        append(UInt8(ascii: "\\"))
        append(byte)
      case 0x0A: append(utf8: "\\n")
      case 0x0D: append(utf8: "\\r")
      case 0x09: append(utf8: "\\t")
      case ..<0x20:
        append(utf8: "\\u00")
        append(Hex.digit(byte >> 4))
        append(Hex.digit(byte & 15))
      default: append(byte)
      }
    }
    append(UInt8(ascii: "\""))
  }
}

extension Hex {
  /// The digit of a value below 16, in lower case.
  public static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}
