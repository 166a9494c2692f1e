internal import SinkBytes

/// DEFAULT expressions that are constants: they are written by us, row by row, where a field is absent.
enum DefaultLiteral {
  /// The constant as JSON, which the column's own conversion reads; nil for an expression that the server must compute.
  static func json(_ expression: String) -> [UInt8]? {
    var text = expression[...]
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    // ClickHouse writes a constant of another type as CAST('a', 'Enum8(…)').
    if let inner = castArgument(text) { return json(inner) }
    switch text.lowercased() {
    case "true", "false", "null": return Array(text.lowercased().utf8)
    case "[]", "array()": return Array("[]".utf8)
    case "map()", "{}": return Array("{}".utf8)
    default: break
    }
    if isNumber(text) { return Array(text.utf8) }
    return string(text).map { text in
      var buffer = ByteBuffer()
      buffer.append(jsonString: text)
      return unsafe buffer.withUnsafeBytes { unsafe [UInt8]($0) }
    }
  }

  private static func castArgument(_ text: Substring) -> String? {
    guard text.lowercased().hasPrefix("cast("), text.hasSuffix(")") else { return nil }
    let inside = text.dropFirst(5).dropLast()
    // A literal holds no comma outside its quotes, so the first one outside parts value and type.
    var isQuoted = false
    var isEscaped = false
    for index in inside.indices {
      let character = inside[index]
      if isEscaped {
        isEscaped = false
      } else if character == "\\" {
        isEscaped = true
      } else if character == "'" {
        isQuoted.toggle()
      } else if character == ",", !isQuoted {
        return String(inside[..<index])
      }
    }
    return nil
  }

  /// As JSON has numbers: what else SQL takes (`.5`, `0x1F`) is left to the server.
  private static func isNumber(_ text: Substring) -> Bool {
    var digits = text
    if digits.first == "-" { digits.removeFirst() }
    guard let first = digits.first, first.isASCII, first.isNumber else { return false }
    let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let isPlain = parts.allSatisfy { !$0.isEmpty && $0.allSatisfy { $0.isASCII && $0.isNumber } }
    return isPlain && (parts[0].count == 1 || first != "0")
  }

  private static func string(_ text: Substring) -> String? {
    guard text.count >= 2, text.first == "'", text.last == "'" else { return nil }
    var result = ""
    var isEscaped = false
    for character in text.dropFirst().dropLast() {
      if isEscaped {
        isEscaped = false
        switch character {
        case "n": result.append("\n")
        case "t": result.append("\t")
        case "r": result.append("\r")
        case "0": result.append("\0")
        case "b": result.append("\u{8}")
        case "f": result.append("\u{c}")
        default: result.append(character)
        }
      } else if character == "\\" {
        isEscaped = true
      } else if character == "'" {
        // Two strings, or an expression.
        return nil
      } else {
        result.append(character)
      }
    }
    return isEscaped ? nil : result
  }
}
