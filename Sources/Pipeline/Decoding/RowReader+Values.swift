internal import ClickHouseClient
internal import SinkBytes

/// One value into one column: docs/CONVERSIONS.md as code.
extension RowReader {
  /// - Parameter byte: where the cursor stands: the value's first.
  mutating func value(
    _ op: UnsafeMutablePointer<ColumnOp>, _ cursor: inout JSONCursor, _ byte: UInt8,
    _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    if byte == 0x6E { return try unsafe null(op, &cursor, column) }
    switch unsafe op.pointee.kind {
    case .int8: unsafe column.pointee.append(try integer(Int8.self, &cursor, byte))
    case .int16: unsafe column.pointee.append(try integer(Int16.self, &cursor, byte))
    case .int32: unsafe column.pointee.append(try integer(Int32.self, &cursor, byte))
    case .int64: unsafe column.pointee.append(try integer(Int64.self, &cursor, byte))
    case .uint8: unsafe column.pointee.append(try integer(UInt8.self, &cursor, byte))
    case .uint16: unsafe column.pointee.append(try integer(UInt16.self, &cursor, byte))
    case .uint32: unsafe column.pointee.append(try integer(UInt32.self, &cursor, byte))
    case .uint64: unsafe column.pointee.append(try integer(UInt64.self, &cursor, byte))
    case .float64: unsafe column.pointee.append(try double(&cursor, byte).bitPattern)
    case .float32: unsafe column.pointee.append(try float(&cursor, byte).bitPattern)
    case .bool: unsafe column.pointee.append(try bool(&cursor, byte))
    case .string: try unsafe string(&cursor, byte, column)
    case .decimal32: unsafe column.pointee.append(Int32(truncatingIfNeeded: try shortDecimal(op, &cursor, byte)))
    case .decimal64: unsafe column.pointee.append(try shortDecimal(op, &cursor, byte))
    case .decimal128: unsafe column.pointee.append(try decimal(op.pointee, &cursor, byte))
    case .dateTime64: unsafe column.pointee.append(try ticks(op.pointee, digits: Int(op.pointee.size), &cursor, byte))
    case .date, .date32, .dateTime: try unsafe time(op.pointee, &cursor, byte, column)
    case .array: try unsafe array(op.pointee, &cursor, byte, column)
    case .map: try unsafe map(op.pointee, &cursor, byte, column)
    case .tuple: try unsafe tuple(op.pointee, &cursor, byte, column)
    case .fixedString, .uuid, .ipv4, .ipv6, .enum8, .enum16: try unsafe text(op.pointee, &cursor, byte, column)
    }
  }

  @inline(never)
  private func null(
    _ op: UnsafeMutablePointer<ColumnOp>, _ cursor: inout JSONCursor, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    try json(&cursor) { (cursor) throws(JSONError) in try cursor.literal("null") }
    guard unsafe op.pointee.isNullable else { throw RowFailure(.nullNotAllowed) }
    unsafe column.pointee.appendNull()
  }

  /// What a JSON string means: its own bytes in the record, or the scratch where escapes are spelled out. Good until the
  /// next string is read.
  @inline(__always)
  @unsafe mutating func text(_ cursor: inout JSONCursor) throws(RowFailure) -> UnsafeRawBufferPointer {
    let string = try json(&cursor) { (cursor) throws(JSONError) in try cursor.string() }
    guard string.hasEscapes else { return unsafe string.bytes }
    scratch.removeAll()
    JSONCursor.unescape(string, into: &scratch)
    return unsafe scratch.withUnsafeBytes { unsafe $0 }
  }

  /// A number, or a string that is one and nothing else.
  @inline(__always)
  private mutating func withNumber<Result>(
    _ cursor: inout JSONCursor, _ byte: UInt8,
    _ body: (JSONNumber, UnsafeRawBufferPointer) throws(NumberFailure) -> Result
  ) throws(RowFailure) -> Result {
    if byte == 0x22 {
      let bytes = try unsafe Self.withoutPlus(text(&cursor))
      var inner = unsafe JSONCursor(bytes)
      guard let number = try? inner.number(), inner.isAtEnd else { throw RowFailure(.wrongKind) }
      return try unsafe checked(number, bytes, body)
    }
    guard byte == 0x2D || byte &- 0x30 <= 9 else { throw try wrongKind(&cursor) }
    let start = cursor.offset
    let number = try json(&cursor) { (cursor) throws(JSONError) in try cursor.number() }
    return try unsafe checked(number, cursor.bytes(from: start), body)
  }

  /// ClickHouse takes `+1` as 1; JSON itself has no plus.
  private static func withoutPlus(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    guard bytes.count > 1, unsafe bytes[0] == 0x2B, unsafe bytes[1] != 0x2D else { return unsafe bytes }
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[1...])
  }

  /// `true` or `false`, bare or as a string; nil, with nothing passed, for anything else.
  private mutating func word(_ cursor: inout JSONCursor, _ byte: UInt8) throws(RowFailure) -> UInt8? {
    switch byte {
    case 0x74:
      try json(&cursor) { (cursor) throws(JSONError) in try cursor.literal("true") }
      return 1
    case 0x66:
      try json(&cursor) { (cursor) throws(JSONError) in try cursor.literal("false") }
      return 0
    case 0x22:
      let start = cursor
      let word = try unsafe text(&cursor)
      if unsafe word.elementsEqual("true".utf8) { return 1 }
      if unsafe word.elementsEqual("false".utf8) { return 0 }
      cursor = start
      return nil
    default: return nil
    }
  }

  @inline(__always)
  private func checked<Result>(
    _ number: JSONNumber, _ text: UnsafeRawBufferPointer,
    _ body: (JSONNumber, UnsafeRawBufferPointer) throws(NumberFailure) -> Result
  ) throws(RowFailure) -> Result {
    do throws(NumberFailure) {
      return try unsafe body(number, text)
    } catch {
      throw RowFailure(number: error)
    }
  }

  /// A value of another kind; one that is no value at all is worse.
  mutating func wrongKind(_ cursor: inout JSONCursor) throws(RowFailure) -> RowFailure {
    try json(&cursor) { (cursor) throws(JSONError) in try cursor.skipValue() }
    return RowFailure(.wrongKind)
  }

  @inline(__always)
  private mutating func integer<T: FixedWidthInteger>(
    _ type: T.Type, _ cursor: inout JSONCursor, _ byte: UInt8
  ) throws(RowFailure) -> T {
    if let value = cursor.shortInteger(type) { return value }
    return try uncommonInteger(type, &cursor, byte)
  }

  @inline(never)
  private mutating func uncommonInteger<T: FixedWidthInteger>(
    _ type: T.Type, _ cursor: inout JSONCursor, _ byte: UInt8
  ) throws(RowFailure) -> T {
    if let word = try word(&cursor, byte) { return word == 1 ? 1 : 0 }
    return try unsafe withNumber(&cursor, byte) { (number, text) throws(NumberFailure) in
      try unsafe number.integer(type, text)
    }
  }

  private mutating func double(_ cursor: inout JSONCursor, _ byte: UInt8) throws(RowFailure) -> Double {
    if byte == 0x22 || byte > 0x39 {
      if let word = try word(&cursor, byte) { return word == 1 ? 1 : 0 }
      let start = cursor
      // Numbers that JSON has no form for come as strings.
      if byte == 0x22, let special = unsafe SpecialNumber.value(try text(&cursor)) { return special }
      cursor = start
    }
    return try unsafe withNumber(&cursor, byte) { (number, text) throws(NumberFailure) in try unsafe number.double(text)
    }
  }

  private mutating func float(_ cursor: inout JSONCursor, _ byte: UInt8) throws(RowFailure) -> Float {
    let wide = try double(&cursor, byte)
    let value = Float(wide)
    guard value.isFinite || !wide.isFinite else { throw RowFailure(.outOfRange) }
    return value
  }

  /// A `Decimal` of up to 18 digits.
  @inline(__always)
  private mutating func shortDecimal(
    _ op: UnsafeMutablePointer<ColumnOp>, _ cursor: inout JSONCursor, _ byte: UInt8
  ) throws(RowFailure) -> Int64 {
    let start = cursor
    if byte != 0x22, let number = try? cursor.number(), let value = number.shortScaled(by: unsafe Int(op.pointee.size)),
      unsafe value.magnitude < op.pointee.limit
    {
      return value
    }
    cursor = start
    return Int64(truncatingIfNeeded: try unsafe decimal(op.pointee, &cursor, byte))
  }

  @inline(never)
  private mutating func decimal(
    _ op: ColumnOp, _ cursor: inout JSONCursor, _ byte: UInt8
  ) throws(RowFailure) -> Int128 {
    let scale = Int(op.size)
    let value = try unsafe withNumber(&cursor, byte) { (number, text) throws(NumberFailure) in
      try unsafe number.scaled(by: scale, text)
    }
    let limit = PowersOfTen.int128(Int(op.precision))
    guard value < limit, value > -limit else { throw RowFailure(.outOfRange) }
    return value
  }

  /// `true`, `false`, 1, 0, and the four as strings.
  private mutating func bool(_ cursor: inout JSONCursor, _ byte: UInt8) throws(RowFailure) -> UInt8 {
    if let word = try word(&cursor, byte) { return word }
    let value = try unsafe withNumber(&cursor, byte) { (number, text) throws(NumberFailure) in
      try unsafe number.integer(UInt8.self, text)
    }
    guard value <= 1 else { throw RowFailure(.outOfRange) }
    return value
  }

  /// A string as it is meant; any other value as it is written.
  @inline(__always)
  private mutating func string(
    _ cursor: inout JSONCursor, _ byte: UInt8, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    if byte == 0x22 {
      try unsafe column.pointee.append(string: text(&cursor))
    } else {
      let start = cursor.offset
      try json(&cursor) { (cursor) throws(JSONError) in try cursor.skipValue() }
      unsafe column.pointee.append(string: cursor.bytes(from: start))
    }
  }

  /// Types whose values are texts: never the common ones.
  @inline(never)
  private mutating func text(
    _ op: ColumnOp, _ cursor: inout JSONCursor, _ byte: UInt8, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    if op.kind == .enum8 || op.kind == .enum16 { return try unsafe enumeration(op, &cursor, byte, column) }
    guard byte == 0x22 else { throw try wrongKind(&cursor) }
    let bytes = try unsafe text(&cursor)
    switch op.kind {
    case .fixedString:
      guard bytes.count <= Int(op.size) else { throw RowFailure(.tooLong) }
      unsafe column.pointee.append(fixedString: bytes)
    case .uuid:
      guard let value = unsafe IdentifierText.uuid(bytes) else { throw RowFailure(.wrongKind) }
      unsafe column.pointee.append(uuidHigh: value.high, low: value.low)
    case .ipv4:
      guard let value = unsafe IdentifierText.ipv4(bytes) else { throw RowFailure(.wrongKind) }
      unsafe column.pointee.append(value)
    default:
      guard let value = unsafe IdentifierText.ipv6(bytes) else { throw RowFailure(.wrongKind) }
      // In network order, whatever the machine's.
      unsafe column.pointee.append(value.byteSwapped)
    }
  }

  /// A name of the enum, or one of its numbers; a string that is both is a name.
  private mutating func enumeration(
    _ op: ColumnOp, _ cursor: inout JSONCursor, _ byte: UInt8, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    let names = unsafe enums[Int(op.table)]
    let value: Int16
    let start = cursor
    if byte == 0x22, case let name = try unsafe text(&cursor),
      let named = unsafe names._withUnsafeGuaranteedRef({ unsafe $0.value(of: name) })
    {
      value = named
    } else {
      guard byte == 0x22 || byte == 0x2D || byte &- 0x30 <= 9 else { throw try wrongKind(&cursor) }
      cursor = start
      do throws(RowFailure) {
        value = try unsafe withNumber(&cursor, byte) { (number, text) throws(NumberFailure) in
          try unsafe number.integer(Int16.self, text)
        }
      } catch {
        throw error.syntax == nil ? RowFailure(.unknownEnumValue) : error
      }
      guard unsafe names._withUnsafeGuaranteedRef({ $0.contains(value) }) else { throw RowFailure(.unknownEnumValue) }
    }
    if op.kind == .enum8 {
      unsafe column.pointee.append(Int8(truncatingIfNeeded: value))
    } else {
      unsafe column.pointee.append(value)
    }
  }
}

/// Powers of ten that a `Decimal` needs.
enum PowersOfTen {
  /// `10^exponent`, up to 38.
  static func int128(_ exponent: Int) -> Int128 { all[exponent] }

  /// `10^exponent`, up to 9.
  static func int64(_ exponent: Int) -> Int64 { short[exponent] }

  private static let short: InlineArray<10, Int64> = [
    1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000,
  ]

  private static let all: InlineArray<39, Int128> = {
    var powers = InlineArray<39, Int128>(repeating: 1)
    for index in 1..<39 { powers[index] = powers[index - 1] * 10 }
    return powers
  }()
}

/// The numbers that are not finite, as ClickHouse spells and reads them.
enum SpecialNumber {
  static func value(_ bytes: UnsafeRawBufferPointer) -> Double? {
    guard (3...9).contains(bytes.count) else { return nil }
    switch unsafe String(decoding: bytes, as: UTF8.self).lowercased() {
    case "nan", "-nan": return .nan
    case "inf", "+inf", "infinity", "+infinity": return .infinity
    case "-inf", "-infinity": return -.infinity
    default: return nil
    }
  }
}
