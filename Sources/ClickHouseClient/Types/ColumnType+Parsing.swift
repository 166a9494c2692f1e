extension ColumnType {
  /// Types nest at most so deep, and their text is at most so long: what a hostile answer could ask of us is bounded.
  static let depthLimit = 32
  static let textLimitBytes = 1 << 20

  /// Reads a type as ClickHouse spells it, old and new servers alike, on one line or on several.
  ///
  /// A type that is well formed but not known here becomes `.unsupported`; text that is no type is an error with `code`
  /// `invalidType` that names the text and the place.
  public static func parse(_ text: String) throws(ClickHouseError) -> ColumnType {
    guard text.utf8.count <= textLimitBytes else {
      throw ClickHouseError(
        code: .invalidType,
        message: "the text of a type has \(text.utf8.count) bytes, more than the \(textLimitBytes) that are read")
    }
    var parser = TypeParser(text)
    let type = try parser.type(depth: 0)
    parser.skipSpace()
    guard parser.isAtEnd else { throw parser.failure("the end was expected") }
    return type
  }
}

/// A recursive descent over the bytes of a type's text.
private struct TypeParser {
  let bytes: [UInt8]
  var position = 0

  init(_ text: String) { bytes = Array(text.utf8) }

  var isAtEnd: Bool { position == bytes.count }
  var next: UInt8? { isAtEnd ? nil : bytes[position] }

  func failure(_ what: String) -> ClickHouseError {
    let text = String(decoding: bytes.prefix(200), as: UTF8.self)
    return ClickHouseError(
      code: .invalidType, message: "\"\(text)\" is no type of ClickHouse's: \(what) at byte \(position)")
  }

  mutating func skipSpace() {
    while let byte = next, byte == 0x20 || (byte >= 0x09 && byte <= 0x0d) { position += 1 }
  }

  mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard next == byte else { return false }
    position += 1
    return true
  }

  mutating func expect(_ character: Unicode.Scalar) throws(ClickHouseError) {
    guard take(UInt8(ascii: character)) else { throw failure("\"\(character)\" was expected") }
  }

  mutating func word() throws(ClickHouseError) -> String {
    skipSpace()
    let start = position
    while let byte = next, isLetter(byte) || isDigit(byte) { position += 1 }
    guard position > start else { throw failure("a name was expected") }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  mutating func integer(_ range: ClosedRange<Int>) throws(ClickHouseError) -> Int {
    skipSpace()
    let start = position
    if next == UInt8(ascii: "-") { position += 1 }
    while let byte = next, isDigit(byte) { position += 1 }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard let value = Int(text), range.contains(value) else {
      throw failure("a number in \(range.lowerBound)…\(range.upperBound) was expected, not \"\(text)\",")
    }
    return value
  }

  /// Text in quotes, with both ways to write a quote in it: doubled, or after a backslash.
  mutating func text(in quote: UInt8) throws(ClickHouseError) -> String {
    skipSpace()
    guard next == quote else { throw failure("a text in quotes was expected") }
    position += 1
    var result: [UInt8] = []
    while let byte = next {
      position += 1
      if byte == quote {
        guard next == quote else { return String(decoding: result, as: UTF8.self) }
        position += 1
        result.append(quote)
      } else if byte == UInt8(ascii: "\\"), let escape = next {
        position += 1
        result.append(unescape(escape))
      } else {
        result.append(byte)
      }
    }
    throw failure("the closing quote was expected")
  }

  private func unescape(_ byte: UInt8) -> UInt8 {
    switch byte {
    case UInt8(ascii: "b"): 0x08
    case UInt8(ascii: "f"): 0x0c
    case UInt8(ascii: "n"): 0x0a
    case UInt8(ascii: "r"): 0x0d
    case UInt8(ascii: "t"): 0x09
    case UInt8(ascii: "0"): 0
    default: byte
    }
  }

  mutating func type(depth: Int) throws(ClickHouseError) -> ColumnType {
    guard depth < ColumnType.depthLimit else { throw failure("more than \(ColumnType.depthLimit) types in each other") }
    skipSpace()
    let start = position
    let name = try word()
    if let plain = ColumnType.plainNames.first(where: { $0.name == name }) { return plain.type }
    switch name {
    case "Nullable": return .nullable(try argument(depth))
    case "LowCardinality": return .lowCardinality(try argument(depth))
    case "Array": return .array(try argument(depth))
    case "FixedString":
      try expect("(")
      let size = try integer(1...0xff_ffff)
      try expect(")")
      return .fixedString(size)
    case "Map":
      try expect("(")
      let key = try type(depth: depth + 1)
      try expect(",")
      let value = try type(depth: depth + 1)
      try expect(")")
      return .map(key: key, value: value)
    case "Tuple": return .tuple(try elements(depth))
    case "DateTime": return .dateTime(zone: try zone())
    case "DateTime64": return try dateTime64()
    case "Enum8": return .enum8(try cases(-128...127))
    case "Enum16": return .enum16(try cases(-32768...32767))
    case "Decimal", "Decimal32", "Decimal64", "Decimal128", "Decimal256": return try decimal(name)
    default: return try unsupported(from: start)
    }
  }

  private mutating func argument(_ depth: Int) throws(ClickHouseError) -> ColumnType {
    try expect("(")
    let inner = try type(depth: depth + 1)
    try expect(")")
    return inner
  }

  private mutating func zone() throws(ClickHouseError) -> String? {
    guard take(UInt8(ascii: "(")) else { return nil }
    let zone = try text(in: UInt8(ascii: "'"))
    try expect(")")
    return zone
  }

  private mutating func dateTime64() throws(ClickHouseError) -> ColumnType {
    try expect("(")
    let precision = try integer(0...9)
    let zone = take(UInt8(ascii: ",")) ? try text(in: UInt8(ascii: "'")) : nil
    try expect(")")
    return .dateTime64(precision: precision, zone: zone)
  }

  private mutating func decimal(_ name: String) throws(ClickHouseError) -> ColumnType {
    let widths = ["Decimal32": 9, "Decimal64": 18, "Decimal128": 38, "Decimal256": 76]
    try expect("(")
    let precision: Int
    if let width = widths[name] {
      precision = width
    } else {
      precision = try integer(1...76)
      try expect(",")
    }
    let scale = try integer(0...precision)
    try expect(")")
    return .decimal(precision: precision, scale: scale)
  }

  private mutating func cases(_ range: ClosedRange<Int>) throws(ClickHouseError) -> [EnumCase] {
    var cases: [EnumCase] = []
    try expect("(")
    repeat {
      let name = try text(in: UInt8(ascii: "'"))
      try expect("=")
      cases.append(EnumCase(name, Int16(try integer(range))))
    } while take(UInt8(ascii: ","))
    try expect(")")
    // The server sorts them too, so that a type reads the same however it was declared.
    cases.sort { $0.value < $1.value }
    return cases
  }

  private mutating func elements(_ depth: Int) throws(ClickHouseError) -> [TupleElement] {
    var elements: [TupleElement] = []
    try expect("(")
    repeat {
      skipSpace()
      if next == UInt8(ascii: "`") {
        let name = try text(in: UInt8(ascii: "`"))
        elements.append(TupleElement(name, try type(depth: depth + 1)))
        continue
      }
      // Two words are a name and its type; a name may also be the name of a type.
      let start = position
      let name = try word()
      skipSpace()
      if let byte = next, isLetter(byte) {
        elements.append(TupleElement(name, try type(depth: depth + 1)))
      } else {
        position = start
        elements.append(TupleElement(nil, try type(depth: depth + 1)))
      }
    } while take(UInt8(ascii: ","))
    try expect(")")
    return elements
  }

  /// Takes a type's arguments as they are: balanced parentheses and quoted texts.
  private mutating func unsupported(from start: Int) throws(ClickHouseError) -> ColumnType {
    if next == UInt8(ascii: "(") {
      var open = 0
      repeat {
        switch next {
        case nil: throw failure("\")\" was expected")
        case UInt8(ascii: "'"), UInt8(ascii: "`"):
          if let quote = next { _ = try text(in: quote) }
          continue
        case UInt8(ascii: "("): open += 1
        case UInt8(ascii: ")"): open -= 1
        default: break
        }
        position += 1
      } while open > 0
    }
    return .unsupported(String(decoding: bytes[start..<position], as: UTF8.self))
  }
}
