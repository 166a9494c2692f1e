/// UTF-8 as RFC 3629 and Unicode's table 3-7 have it: no overlong forms, no surrogates, nothing beyond U+10FFFF.
enum UTF8Validation {
  /// Passes one sequence that starts with a byte of 0x80 or more.
  @inline(__always) static func passSequence(
    _ at: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) throws(JSONError) -> UnsafePointer<UInt8> {
    guard unsafe end - at >= 4 else { return try unsafe passSequenceAtEnd(at, end) }
    let word = unsafe UnsafeRawPointer(at).loadUnaligned(as: UInt32.self)
    let lead = word & 0xFF
    if word & 0xC0E0 == 0x80C0 {
      guard lead >= 0xC2 else { throw .badUTF8 }
      return unsafe at + 2
    }
    if word & 0xC0_C0F0 == 0x80_80E0 {
      // Overlong below U+0800; surrogates are U+D800 to U+DFFF.
      let unit = (word & 0x0F) << 12 | (word >> 2) & 0xFC0 | (word >> 16) & 0x3F
      guard unit >= 0x800, unit & 0xF800 != 0xD800 else { throw .badUTF8 }
      return unsafe at + 3
    }
    return try unsafe passSequenceAtEnd(at, end)
  }

  /// The same, byte by byte: for sequences of four, those near the end, and wrong ones.
  @inline(never) private static func passSequenceAtEnd(
    _ at: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) throws(JSONError) -> UnsafePointer<UInt8> {
    let left = unsafe end - at
    let lead = unsafe at.pointee
    func continues(_ index: Int, _ low: UInt8 = 0x80, _ high: UInt8 = 0xBF) -> Bool {
      unsafe index < left && at[index] >= low && at[index] <= high
    }
    switch lead {
    case 0xC2...0xDF:
      guard continues(1) else { throw .badUTF8 }
      return unsafe at + 2
    case 0xE0...0xEF:
      let low: UInt8 = lead == 0xE0 ? 0xA0 : 0x80
      let high: UInt8 = lead == 0xED ? 0x9F : 0xBF
      guard continues(1, low, high), continues(2) else { throw .badUTF8 }
      return unsafe at + 3
    case 0xF0...0xF4:
      let low: UInt8 = lead == 0xF0 ? 0x90 : 0x80
      let high: UInt8 = lead == 0xF4 ? 0x8F : 0xBF
      guard continues(1, low, high), continues(2), continues(3) else { throw .badUTF8 }
      return unsafe at + 4
    default: throw .badUTF8
    }
  }
}

/// Hexadecimal digits.
public enum Hex {
  @inlinable public static func value(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte &- 0x30
    case 0x41...0x46: byte &- 0x37
    case 0x61...0x66: byte &- 0x57
    default: nil
    }
  }

  /// Whether all eight bytes are digits. `0`…`9` are 0x30 and 0…9; letters of either case are 0x60 and 1…6 once the bit
  /// of lower case is set; nothing carries from one byte into the next.
  @inlinable @inline(__always) static func isEightDigits(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let high = ones &* 0x80
    let decimal = word ^ (ones &* 0x30)
    let letter = (word | (ones &* 0x20)) ^ (ones &* 0x60)
    let isDecimal = ~((decimal & ~high) &+ (ones &* 0x76))
    let isLetter = ((letter & ~high) &+ (ones &* 0x7F)) & ~((letter & ~high) &+ (ones &* 0x79))
    return (isDecimal | isLetter) & ~word & high == high
  }

  /// The number that eight digits write, the first of which is the lowest byte.
  @inlinable @inline(__always) static func eightDigits(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let nibbles = word & (ones &* 0x0F) &+ (word >> 6 & ones) &* 9
    let bytes = (nibbles << 4 | nibbles >> 8) & 0x00FF_00FF_00FF_00FF
    let pairs = (bytes | bytes >> 8) & 0x0000_FFFF_0000_FFFF
    return UInt64(UInt32(truncatingIfNeeded: pairs | pairs >> 16).byteSwapped)
  }
}
