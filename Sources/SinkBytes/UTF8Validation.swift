/// UTF-8 as RFC 3629 and Unicode's table 3-7 have it: no overlong forms, no surrogates, nothing beyond U+10FFFF.
public enum UTF8Validation {
  /// Passes one sequence that starts with a byte of 0x80 or more.
  @inline(never) @usableFromInline static func passSequence(
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

  /// Whether all of it is UTF-8.
  public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let base = bytes.baseAddress else { return true }
    var at = unsafe base.assumingMemoryBound(to: UInt8.self)
    let end = unsafe at + bytes.count
    while unsafe at < end {
      if unsafe at.pointee < 0x80 {
        unsafe at += 1
      } else {
        guard let next = unsafe try? passSequence(at, end) else { return false }
        unsafe at = next
      }
    }
    return true
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
}
