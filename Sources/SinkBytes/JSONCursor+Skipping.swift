extension JSONCursor {
  /// Arrays and objects inside each other, by default: as deep as most parsers go, and no stack is spent on it.
  public static let depthLimit = 512

  /// Passes one value of any kind, checking all of it. Not recursive: what is open is one bit each.
  @inlinable public mutating func skipValue(depthLimit: Int = JSONCursor.depthLimit) throws(JSONError) {
    switch peek() {
    case 0x22: _ = try string()
    case 0x7B, 0x5B: try skipContainer(depthLimit: depthLimit)
    default: try skipScalar()
    }
  }

  @inlinable mutating func skipScalar() throws(JSONError) {
    switch peek() {
    case 0x22: _ = try string()
    case 0x74: try literal("true")
    case 0x66: try literal("false")
    case 0x6E: try literal("null")
    case 0x2D, 0x30...0x39: _ = try number()
    case 0: throw unsafe next < end ? .unexpected : .truncated
    default: throw .unexpected
    }
  }

  @inline(never) @usableFromInline mutating func skipContainer(depthLimit: Int) throws(JSONError) {
    var isObject = BitStack()
    repeat {
      // At the start of a value.
      let byte = peek()
      if byte == 0x7B || byte == 0x5B {
        pass()
        guard isObject.count < depthLimit else { throw .tooDeep }
        isObject.push(byte == 0x7B)
        if peek() == (byte == 0x7B ? 0x7D : 0x5D) {
          pass()
          isObject.pop()
        } else {
          if byte == 0x7B { try skipKey() }
          continue
        }
      } else {
        try skipScalar()
      }
      // After a value: a comma, or the ends of what is open.
      while isObject.count > 0 {
        if try more(until: isObject.top ? 0x7D : 0x5D) {
          if isObject.top { try skipKey() }
          break
        }
        isObject.pop()
      }
    } while isObject.count > 0
  }

  private mutating func skipKey() throws(JSONError) {
    guard peek() == 0x22 else { throw unsafe next < end ? .unexpected : .truncated }
    _ = try string()
    try expect(0x3A)
  }
}

/// Bits on a stack: 512 inline, more than the bound of any reader here.
private struct BitStack {
  private var words = InlineArray<16, UInt64>(repeating: 0)
  private(set) var count = 0

  var top: Bool { words[(count - 1) >> 6] >> UInt64((count - 1) & 63) & 1 == 1 }

  mutating func push(_ bit: Bool) {
    let mask: UInt64 = 1 << UInt64(count & 63)
    if bit { words[count >> 6] |= mask } else { words[count >> 6] &= ~mask }
    count += 1
  }

  mutating func pop() { count -= 1 }
}
