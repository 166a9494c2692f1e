/// A JSON number, read once: `mantissa × 10^exponent`, with its sign.
@frozen public struct JSONNumber: Sendable, Equatable {
  public let isNegative: Bool
  /// The digits as an integer, the point left out; right while `isExact`.
  public let mantissa: UInt64
  /// Of ten, for the mantissa; clamped far beyond what any type holds.
  public let exponent: Int32
  /// Whether all digits are in the mantissa: up to 19 always are.
  public let isExact: Bool

  @inlinable init(isNegative: Bool, mantissa: UInt64, exponent: Int32, isExact: Bool) {
    self.isNegative = isNegative
    self.mantissa = mantissa
    self.exponent = exponent
    self.isExact = isExact
  }
}

extension JSONCursor {
  /// Reads a number: an optional minus, no leading zeros, digits on both sides of a point.
  @inlinable public mutating func number() throws(JSONError) -> JSONNumber {
    var at = unsafe next
    let isNegative = unsafe at < end && at.pointee == 0x2D
    if isNegative { unsafe at += 1 }
    let first = unsafe at
    var mantissa: UInt64 = 0
    unsafe passDigits(&at, &mantissa)
    var digits = unsafe at - first
    guard digits > 0, unsafe digits == 1 || first.pointee != 0x30 else { throw unsafe badNumber(at) }
    var exponent: Int32 = 0
    if unsafe at < end, unsafe at.pointee == 0x2E {
      unsafe at += 1
      let behindPoint = unsafe at
      unsafe passDigits(&at, &mantissa)
      let decimals = unsafe at - behindPoint
      guard decimals > 0 else { throw unsafe badNumber(at) }
      digits &+= decimals
      exponent = Int32(clamping: 0 &- min(decimals, Int(Self.exponentLimit)))
    }
    if unsafe at < end, unsafe at.pointee | 0x20 == 0x65 {
      exponent = try unsafe exponent &+ passExponent(&at)
    }
    unsafe next = at
    return JSONNumber(isNegative: isNegative, mantissa: mantissa, exponent: exponent, isExact: digits <= 19)
  }

  /// A whole number of at most 19 digits, as most are, as a `T`; nil, with nothing passed, for every other value, right or
  /// wrong.
  @inlinable @inline(__always) public mutating func shortInteger<T: FixedWidthInteger>(_ type: T.Type) -> T? {
    var at = unsafe next
    let isNegative = unsafe at < end && at.pointee == 0x2D
    if isNegative { unsafe at += 1 }
    let first = unsafe at
    var magnitude: UInt64 = 0
    unsafe passDigits(&at, &magnitude)
    let digits = unsafe at - first
    guard digits > 0, digits <= 19, unsafe first.pointee != 0x30 || digits == 1 else { return nil }
    if unsafe at < end, unsafe at.pointee == 0x2E || at.pointee | 0x20 == 0x65 { return nil }
    if isNegative, magnitude > 1 << 63 { return nil }
    let value = isNegative ? T(exactly: Int64(truncatingIfNeeded: 0 &- magnitude)) : T(exactly: magnitude)
    if value != nil { unsafe next = at }
    return value
  }

  /// Adds digits to a number, as many as there are, up to eight at a time. Too many wrap around.
  @inlinable @inline(__always) func passDigits(_ at: inout UnsafePointer<UInt8>, _ value: inout UInt64) {
    while unsafe end - at >= 8 {
      let word = unsafe UnsafeRawPointer(at).loadUnaligned(as: UInt64.self)
      let marks = Self.otherThanDigits(word)
      if marks == 0 {
        value = value &* 100_000_000 &+ Self.eightDigits(word)
        unsafe at += 8
      } else {
        // Moved up, so that what is missing to eight are zeros in front.
        let count = marks.trailingZeroBitCount >> 3
        if count == 0 { return }
        value =
          value &* Self.powersOfTen[count] &+ Self.eightDigits(word &<< UInt64(truncatingIfNeeded: 64 &- count &* 8))
        unsafe at += count
        return
      }
    }
    while unsafe at < end {
      let digit = unsafe at.pointee &- 0x30
      guard digit <= 9 else { return }
      value = value &* 10 &+ UInt64(digit)
      unsafe at += 1
    }
  }

  @usableFromInline static let powersOfTen: InlineArray<8, UInt64> = [
    1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000,
  ]

  /// The high bit of each byte that is no digit: nothing carries from one byte into the next.
  @inlinable static func otherThanDigits(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let high = ones &* 0x80
    let digits = word ^ (ones &* 0x30)
    return ((digits & ~high) &+ (ones &* 0x76) | digits) & high
  }

  /// Their value: neighbours are joined to pairs, pairs to fours, fours to eight. The first digit is the lowest byte.
  @inlinable static func eightDigits(_ word: UInt64) -> UInt64 {
    let digits = word & 0x0F0F_0F0F_0F0F_0F0F
    let pairs = (digits &* 10 &+ digits >> 8) & 0x00FF_00FF_00FF_00FF
    let fours = (pairs &* 100 &+ pairs >> 16) & 0x0000_FFFF_0000_FFFF
    return (fours &* 10_000 &+ fours >> 32) & 0xFFFF_FFFF
  }

  /// More than a record has bytes (`message.max.bytes` ends at 1,000,000,000): a larger exponent is as good as this one,
  /// however many decimals stand against it.
  @usableFromInline static let exponentLimit: Int32 = 1_000_000_000

  /// The exponent from its `e` on.
  @inline(never) @usableFromInline func passExponent(_ at: inout UnsafePointer<UInt8>) throws(JSONError) -> Int32 {
    var exponent = 0
    unsafe at += 1
    let isDown = unsafe at < end && at.pointee == 0x2D
    if unsafe isDown || at < end && at.pointee == 0x2B { unsafe at += 1 }
    let start = unsafe at
    while unsafe at < end, unsafe at.pointee &- 0x30 <= 9 {
      exponent = min(exponent &* 10 &+ Int(unsafe at.pointee &- 0x30), Int(Self.exponentLimit))
      unsafe at += 1
    }
    guard unsafe at > start else { throw unsafe badNumber(at) }
    return Int32(truncatingIfNeeded: isDown ? -exponent : exponent)
  }

  /// A text that ends where a digit must come is cut, not wrong.
  @usableFromInline func badNumber(_ at: UnsafePointer<UInt8>) -> JSONError {
    unsafe at == end && (at == next || at[-1] &- 0x30 > 9) ? .truncated : .badNumber
  }
}
