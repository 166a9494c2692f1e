/// A string's bytes as they stand between the quotes.
@frozen @safe public struct JSONString {
  public let bytes: UnsafeRawBufferPointer
  /// Whether `\` stands in it: then `JSONCursor.unescape` says what is meant.
  public let hasEscapes: Bool

  @inlinable init(bytes: UnsafeRawBufferPointer, hasEscapes: Bool) {
    unsafe self.bytes = bytes
    self.hasEscapes = hasEscapes
  }
}

extension JSONCursor {
  /// Reads a string, from its opening quote. Eight bytes at a time: what makes a byte interesting is a quote, a
  /// backslash, a control character or a high bit, and all four show in one word.
  @inlinable public mutating func string() throws(JSONError) -> JSONString {
    try expect(0x22)
    let first = unsafe next
    var at = unsafe first
    while unsafe end - at >= 8 {
      let marks = Self.interesting(unsafe UnsafeRawPointer(at).loadUnaligned(as: UInt64.self))
      guard marks != 0 else {
        unsafe at += 8
        continue
      }
      unsafe at += marks.trailingZeroBitCount >> 3
      guard unsafe at.pointee == 0x22 else { break }
      unsafe next = at + 1
      return unsafe JSONString(bytes: UnsafeRawBufferPointer(start: first, count: at - first), hasEscapes: false)
    }
    return try unsafe uncommonString(first, at)
  }

  /// The rest of a string that has escapes or text beyond ASCII, or that ends near the end.
  @inline(never) @usableFromInline mutating func uncommonString(
    _ first: UnsafePointer<UInt8>, _ from: UnsafePointer<UInt8>
  ) throws(JSONError) -> JSONString {
    unsafe next = from
    var hasEscapes = false
    while unsafe next < end {
      let byte = unsafe next.pointee
      if byte >= 0x80 {
        // Texts of other alphabets: many such in a row.
        unsafe next = try UTF8Validation.passSequence(next, end)
      } else if byte == 0x22 {
        let bytes = unsafe UnsafeRawBufferPointer(start: first, count: next - first)
        unsafe next += 1
        return unsafe JSONString(bytes: bytes, hasEscapes: hasEscapes)
      } else if byte == 0x5C {
        hasEscapes = true
        try passEscape()
      } else if byte < 0x20 {
        throw .controlCharacter
      } else {
        unsafe next += 1
        while unsafe end - next >= 8 {
          let marks = Self.interesting(unsafe UnsafeRawPointer(next).loadUnaligned(as: UInt64.self))
          unsafe next += marks == 0 ? 8 : marks.trailingZeroBitCount >> 3
          if marks != 0 { break }
        }
      }
    }
    throw .truncated
  }

  /// The high bit of each byte that is a quote, a backslash, a control character or not ASCII.
  ///
  /// The test for a byte below a bound can also mark bytes above the first that it marks; only the lowest is used.
  @inlinable static func interesting(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let high: UInt64 = 0x8080_8080_8080_8080
    let quote = word ^ (ones &* 0x22)
    let slash = word ^ (ones &* 0x5C)
    let isQuote = (quote &- ones) & ~quote
    let isSlash = (slash &- ones) & ~slash
    let isControl = (word &- (ones &* 0x20)) & ~word
    return (isQuote | isSlash | isControl | word) & high
  }

  /// Checks an escape and passes it; a high surrogate must be followed by a low one (RFC 8259, section 8.2, calls the
  /// rest unpredictable: there is no UTF-8 for half a pair).
  @inline(never) @usableFromInline mutating func passEscape() throws(JSONError) {
    switch try byte(at: 1) {
    case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: unsafe next += 2
    case 0x75:
      let unit = try hexUnit(at: 2)
      unsafe next += 6
      if unit & 0xFC00 == 0xDC00 { throw .badEscape }
      guard unit & 0xFC00 == 0xD800 else { return }
      guard try byte(at: 0) == 0x5C, try byte(at: 1) == 0x75, try hexUnit(at: 2) & 0xFC00 == 0xDC00 else {
        throw .badEscape
      }
      unsafe next += 6
    default: throw .badEscape
    }
  }

  private func byte(at index: Int) throws(JSONError) -> UInt8 {
    guard unsafe end - next > index else { throw .truncated }
    return unsafe next[index]
  }

  private func hexUnit(at index: Int) throws(JSONError) -> UInt32 {
    var unit: UInt32 = 0
    for place in 0..<4 {
      guard let digit = Hex.value(try byte(at: index + place)) else { throw .badEscape }
      unit = unit << 4 | UInt32(digit)
    }
    return unit
  }

  /// Appends what a checked string means.
  @inline(never) public static func unescape(_ string: JSONString, into buffer: inout ByteBuffer) {
    let bytes = unsafe string.bytes
    unsafe buffer.append(atMost: bytes.count) { (out: UnsafeMutableRawBufferPointer) -> Int in
      var from = 0
      var to = 0
      while from < bytes.count {
        let byte = unsafe bytes[from]
        guard byte == 0x5C else {
          unsafe out[to] = byte
          from += 1
          to += 1
          continue
        }
        let escape = unsafe bytes[from + 1]
        from += 2
        if escape == 0x75 {
          var scalar = unsafe unit(bytes, from)
          from += 4
          if scalar & 0xFC00 == 0xD800 {
            scalar = 0x10000 + (scalar & 0x3FF) << 10 + (unsafe unit(bytes, from + 2) & 0x3FF)
            from += 6
          }
          to += unsafe encode(scalar, into: out, at: to)
        } else {
          unsafe out[to] = simpleEscape(escape)
          to += 1
        }
      }
      return to
    }
  }

  private static func simpleEscape(_ byte: UInt8) -> UInt8 {
    switch byte {
    case 0x62: 0x08
    case 0x66: 0x0C
    case 0x6E: 0x0A
    case 0x72: 0x0D
    case 0x74: 0x09
    default: byte
    }
  }

  private static func unit(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> UInt32 {
    (0..<4).reduce(0) { unsafe $0 << 4 | UInt32(Hex.value(bytes[start + $1]) ?? 0) }
  }

  /// UTF-8 of a scalar; never longer than the escape that it came from.
  private static func encode(_ scalar: UInt32, into out: UnsafeMutableRawBufferPointer, at place: Int) -> Int {
    func put(_ index: Int, _ value: UInt32) { unsafe out[place + index] = UInt8(truncatingIfNeeded: value) }
    switch scalar {
    case ..<0x80:
      put(0, scalar)
      return 1
    case ..<0x800:
      put(0, 0xC0 | scalar >> 6)
      put(1, 0x80 | scalar & 0x3F)
      return 2
    case ..<0x10000:
      put(0, 0xE0 | scalar >> 12)
      put(1, 0x80 | scalar >> 6 & 0x3F)
      put(2, 0x80 | scalar & 0x3F)
      return 3
    default:
      put(0, 0xF0 | scalar >> 18)
      put(1, 0x80 | scalar >> 12 & 0x3F)
      put(2, 0x80 | scalar >> 6 & 0x3F)
      put(3, 0x80 | scalar & 0x3F)
      return 4
    }
  }
}
