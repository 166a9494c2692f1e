import TestServers

@testable import SinkBytes

/// What the cursor makes of a whole text.
enum JSONTexts {
  /// nil where the text is JSON throughout.
  static func error(_ bytes: [UInt8], depthLimit: Int = JSONCursor.depthLimit) -> JSONError? {
    // A copy of exactly these bytes: reading past them is seen by the memory checks.
    unsafe bytes.withUnsafeBytes { bytes in
      var cursor = unsafe JSONCursor(bytes)
      do throws(JSONError) {
        try cursor.skipValue(depthLimit: depthLimit)
        try cursor.finish()
        return nil
      } catch {
        return error
      }
    }
  }

  static func error(_ text: String) -> JSONError? { error(Array(text.utf8)) }

  /// The meaning of a text, spelled in one way: strings as the hexadecimal digits of their bytes, numbers as the bits of
  /// the double that they are. The other parser's answer is spelled alike.
  static func meaning(_ bytes: [UInt8]) throws(JSONError) -> String {
    let outcome: Result<String, JSONError> = unsafe bytes.withUnsafeBytes { bytes in
      do throws(JSONError) {
        var cursor = unsafe JSONCursor(bytes)
        let text = try value(&cursor)
        try cursor.finish()
        return .success(text)
      } catch {
        return .failure(error)
      }
    }
    return try outcome.get()
  }

  private static func value(_ cursor: inout JSONCursor) throws(JSONError) -> String {
    switch cursor.peek() {
    case 0x22: return string(try cursor.string())
    case 0x7B:
      var parts: [String] = []
      cursor.pass()
      if cursor.peek() == 0x7D {
        cursor.pass()
      } else {
        repeat {
          _ = cursor.peek()
          let key = string(try cursor.string())
          try cursor.expect(0x3A)
          parts.append(key + ":" + (try value(&cursor)))
        } while try cursor.more(until: 0x7D)
      }
      return "{" + parts.joined(separator: ",") + "}"
    case 0x5B:
      var parts: [String] = []
      cursor.pass()
      if cursor.peek() == 0x5D {
        cursor.pass()
      } else {
        repeat { parts.append(try value(&cursor)) } while try cursor.more(until: 0x5D)
      }
      return "[" + parts.joined(separator: ",") + "]"
    case 0x2D, 0x30...0x39:
      let start = cursor.offset
      let number = try cursor.number()
      guard let double = unsafe try? number.double(cursor.bytes(from: start)) else { return "inf" }
      return String(double.bitPattern, radix: 16)
    case let byte:
      try cursor.skipValue()
      return byte == 0x74 ? "true" : byte == 0x66 ? "false" : "null"
    }
  }

  private static func string(_ string: JSONString) -> String {
    var buffer = ByteBuffer()
    if string.hasEscapes { JSONCursor.unescape(string, into: &buffer) } else { unsafe buffer.append(string.bytes) }
    return unsafe buffer.withUnsafeBytes { bytes in
      unsafe "s"
        + bytes.map { (byte: UInt8) in byte < 16 ? "0" + String(byte, radix: 16) : String(byte, radix: 16) }.joined()
    }
  }

  /// A text with everything that JSON has, at random.
  static func random(_ random: inout SeededGenerator, depth: Int = 0) -> String {
    let space = ["", "", "", " ", "\n", "\t", "\r", "  "].randomElement(using: &random)!
    let value: String
    switch random.below(depth > 3 ? 5 : 7) {
    case 0: value = ["true", "false", "null"].randomElement(using: &random)!
    case 1, 2: value = number(&random)
    case 3, 4: value = quoted(&random)
    case 5:
      value =
        "[" + (0..<random.below(4)).map { _ in Self.random(&random, depth: depth + 1) }.joined(separator: ",") + "]"
    default:
      let fields = (0..<random.below(4)).map { _ in
        quoted(&random) + space + ":" + Self.random(&random, depth: depth + 1)
      }
      value = "{" + fields.joined(separator: ",") + space + "}"
    }
    return space + value + space
  }

  static func number(_ random: inout SeededGenerator) -> String {
    func digits(_ count: Int) -> String { (0..<count).map { _ in String(random.below(10)) }.joined() }
    var text = random.below(3) == 0 ? "-" : ""
    text += random.below(4) == 0 ? "0" : String(1 + random.below(9)) + digits(random.below(24))
    if random.below(2) == 0 { text += "." + digits(1 + random.below(24)) }
    if random.below(3) == 0 {
      text += ["e", "E"].randomElement(using: &random)! + ["", "+", "-"].randomElement(using: &random)!
      text += String(random.below(330))
    }
    return text
  }

  static func quoted(_ random: inout SeededGenerator) -> String {
    let pieces = [
      "a", "key", "\u{7F}", "ä", "€", "😀", "\u{10FFFF}", #"\n"#, #"\""#, #"\\"#, #"\/"#, #"\u0000"#, #"\u00E9"#,
      #"\u20ac"#, #"\uD83D\ude00"#, #"\b\f\r\t"#, "a longer piece of plain text", " ",
    ]
    return "\"" + (0..<random.below(6)).map { _ in pieces.randomElement(using: &random)! }.joined() + "\""
  }
}
