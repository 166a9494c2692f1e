internal import CSinkLibc

/// Why a number does not go into a type.
@frozen public enum NumberFailure: UInt8, Error, Sendable {
  case outOfRange
  /// It has a fraction that the type cannot hold.
  case fraction
}

extension JSONNumber {
  /// The integer that the number is, however it was written: `1`, `1.0` and `1e0` are one.
  /// - Parameter text: the number's own bytes, read again where its digits are more than 19.
  public func integer<T: FixedWidthInteger>(
    _ type: T.Type, _ text: UnsafeRawBufferPointer
  ) throws(NumberFailure) -> T {
    guard let value = T(exactly: try unsafe scaled(by: 0, text)) else { throw .outOfRange }
    return value
  }

  /// The number times `10^scale`, exactly, where 64 bits hold it and no digits are to be cut; else nil.
  @inlinable @inline(__always) public func shortScaled(by scale: Int) -> Int64? {
    let places = Int(exponent) &+ scale
    guard isExact, places >= 0, places <= 9 else { return nil }
    let (magnitude, overflow) = mantissa.multipliedReportingOverflow(by: Self.shortPower(places))
    guard !overflow, magnitude <= UInt64(Int64.max) else { return nil }
    let value = Int64(truncatingIfNeeded: magnitude)
    return isNegative ? 0 &- value : value
  }

  /// `10^exponent`, up to 9.
  @inlinable @inline(__always) static func shortPower(_ exponent: Int) -> UInt64 {
    switch exponent {
    case 0: 1
    case 1: 10
    case 2: 100
    case 3: 1000
    case 4: 10_000
    case 5: 100_000
    case 6: 1_000_000
    case 7: 10_000_000
    case 8: 100_000_000
    default: 1_000_000_000
    }
  }

  /// The number times `10^scale`, exactly.
  ///
  /// Decimals beyond the scale are refused unless they are zeros.
  @inline(never) public func scaled(by scale: Int, _ text: UnsafeRawBufferPointer) throws(NumberFailure) -> Int128 {
    var magnitude = UInt128(mantissa)
    var places = Int(exponent) + scale
    if !isExact {
      let all = try unsafe digits(text)
      magnitude = all.value
      places = all.exponent + scale
    }
    if magnitude == 0 { return 0 }
    while places < 0 {
      let (quotient, remainder) = magnitude.quotientAndRemainder(dividingBy: 10)
      guard remainder == 0 else { throw .fraction }
      magnitude = quotient
      places += 1
    }
    while places > 0 {
      let (product, overflow) = magnitude.multipliedReportingOverflow(by: 10)
      guard !overflow else { throw .outOfRange }
      magnitude = product
      places -= 1
    }
    if isNegative {
      guard magnitude <= UInt128(Int128.max) + 1 else { throw .outOfRange }
      return Int128(truncatingIfNeeded: 0 &- magnitude)
    }
    guard magnitude <= UInt128(Int128.max) else { throw .outOfRange }
    return Int128(magnitude)
  }

  /// All digits, where they may be more than 64 bits hold: zeros at the end go into the exponent.
  private func digits(_ text: UnsafeRawBufferPointer) throws(NumberFailure) -> (value: UInt128, exponent: Int) {
    var value: UInt128 = 0
    var zeros = 0
    for index in 0..<text.count {
      let byte = unsafe text[index]
      if byte | 0x20 == 0x65 { break }
      let digit = byte &- 0x30
      guard digit <= 9 else { continue }
      zeros += 1
      if digit == 0 { continue }
      // The digits after the last one that counted: some zeros, then this one.
      for _ in 0..<(value == 0 ? 0 : zeros) {
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        guard !overflow else { throw .outOfRange }
        value = product
      }
      let (sum, overflow) = value.addingReportingOverflow(UInt128(digit))
      guard !overflow else { throw .outOfRange }
      value = sum
      zeros = 0
    }
    // `exponent` counts from the last digit, of which the zeros at the end were left out.
    return (value, Int(exponent) + zeros)
  }

  /// The nearest double. Up to 2^53 and 10^±22 it is one exact operation (Clinger); up to 19 digits and 10^±27 one wide
  /// multiplication or division, rounded once; the rest is the C library's.
  /// - Throws: `outOfRange` for what is infinite as a double.
  @inlinable @inline(__always) public func double(_ text: UnsafeRawBufferPointer) throws(NumberFailure) -> Double {
    if isExact, mantissa <= 1 << 53, exponent >= -22, exponent <= 22 {
      let value = Double(mantissa)
      let scaled =
        exponent == 0
        ? value : exponent < 0 ? value / Self.powersOfTen[Int(-exponent)] : value * Self.powersOfTen[Int(exponent)]
      return isNegative ? -scaled : scaled
    }
    return try unsafe uncommonDouble(text)
  }

  @usableFromInline static let powersOfTen: InlineArray<23, Double> = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
  ]

  @inline(never) @usableFromInline func uncommonDouble(
    _ text: UnsafeRawBufferPointer
  ) throws(NumberFailure) -> Double {
    if isExact, mantissa > 0, exponent >= -27, exponent <= 27 {
      let magnitude = wideDouble()
      return isNegative ? -magnitude : magnitude
    }
    let value = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: text.count + 1) { copy in
      for index in 0..<text.count { unsafe copy[index] = CChar(bitPattern: text[index]) }
      unsafe copy[text.count] = 0
      return unsafe sink_strtod(copy.baseAddress!, nil)
    }
    guard value.isFinite else { throw .outOfRange }
    return value
  }

  /// `10^e = 5^e × 2^e`, and `5^27` fits 64 bits: the product, or the quotient with more bits than a double has and a
  /// last one that tells of a remainder, is exact; making a double of it rounds once.
  private func wideDouble() -> Double {
    var power: UInt64 = 1
    for _ in 0..<abs(exponent) { power &*= 5 }
    if exponent >= 0 {
      let product = mantissa.multipliedFullWidth(by: power)
      return Self.rounded(UInt128(product.high) << 64 | UInt128(product.low), scale: Int(exponent))
    }
    // Shifted so that the quotient has 63 or 64 bits.
    let shift = power.leadingZeroBitCount
    let divisor = power << UInt64(shift)
    let up = mantissa.leadingZeroBitCount
    let dividend = (high: (mantissa << UInt64(up)) >> 1, low: mantissa << UInt64(up + 63))
    let (quotient, remainder) = divisor.dividingFullWidth(dividend)
    let sticky = quotient << 1 | (remainder == 0 ? 0 : 1)
    // quotient = mantissa × 2^(up + 63) ÷ (power × 2^shift), once more doubled for the last bit.
    return Self.rounded(UInt128(quotient >> 63) << 64 | UInt128(sticky), scale: Int(exponent) - up - 64 + shift)
  }

  /// `value × 2^scale`, rounded to nearest, ties to even; far from where doubles end.
  private static func rounded(_ value: UInt128, scale: Int) -> Double {
    let surplus = 128 - value.leadingZeroBitCount - 54
    guard surplus > 0 else { return Double(UInt64(value)) * powerOfTwo(scale) }
    // 54 bits are kept, the last of which is half a unit of a double; what is below only breaks ties.
    var kept = UInt64(truncatingIfNeeded: value >> UInt128(surplus))
    let isMore = value & ((1 << UInt128(surplus)) - 1) != 0
    let isUp = kept & 1 == 1 && (isMore || kept & 2 == 2)
    kept = kept >> 1 + (isUp ? 1 : 0)
    return Double(kept) * powerOfTwo(scale + surplus + 1)
  }

  private static func powerOfTwo(_ exponent: Int) -> Double { Double(bitPattern: UInt64(1023 + exponent) << 52) }
}
