/// A JSON number, read once: `mantissa × 10^exponent`, with its sign.
@frozen public struct JSONNumber: Sendable, Equatable {
  public let isNegative: Bool
  /// The digits as an integer, point and leading zeros left out; right while `isExact`.
  public let mantissa: UInt64
  /// Of ten, for the mantissa; clamped far beyond what any type holds.
  public let exponent: Int32
  /// Whether all digits are in the mantissa: up to 19 always are.
  public let isExact: Bool
  /// Whether it was written without point and exponent.
  public let isInteger: Bool

  @inlinable init(isNegative: Bool, mantissa: UInt64, exponent: Int32, isExact: Bool, isInteger: Bool) {
    self.isNegative = isNegative
    self.mantissa = mantissa
    self.exponent = exponent
    self.isExact = isExact
    self.isInteger = isInteger
  }
}

extension JSONCursor {
  /// Reads a number: an optional minus, no leading zeros, digits on both sides of a point.
  @inlinable public mutating func number() throws(JSONError) -> JSONNumber {
    var at = unsafe next
    let isNegative = unsafe at < end && at.pointee == 0x2D
    if isNegative { unsafe at += 1 }
    let firstDigit = unsafe at
    var mantissa: UInt64 = 0
    while unsafe at < end {
      let digit = unsafe at.pointee &- 0x30
      guard digit <= 9 else { break }
      mantissa = mantissa &* 10 &+ UInt64(digit)
      unsafe at += 1
    }
    let digits = unsafe at - firstDigit
    guard digits > 0 else { throw unsafe at < end ? .badNumber : .truncated }
    if digits > 1, unsafe firstDigit.pointee == 0x30 { throw .badNumber }
    if unsafe at < end, unsafe at.pointee == 0x2E || at.pointee | 0x20 == 0x65 {
      return try unsafe fraction(at, firstDigit: firstDigit, isNegative: isNegative)
    }
    // 19 digits always fit; more are read again where they matter.
    unsafe next = at
    return JSONNumber(isNegative: isNegative, mantissa: mantissa, exponent: 0, isExact: digits <= 19, isInteger: true)
  }

  /// Point and exponent. The digits are counted again here: a number with a point is not the common one.
  @inline(never) @usableFromInline mutating func fraction(
    _ from: UnsafePointer<UInt8>, firstDigit: UnsafePointer<UInt8>, isNegative: Bool
  ) throws(JSONError) -> JSONNumber {
    var at = unsafe from
    var exponent: Int32 = 0
    var afterPoint: UnsafePointer<UInt8>? = nil
    if unsafe at.pointee == 0x2E {
      unsafe at += 1
      unsafe afterPoint = at
      while unsafe at < end, unsafe at.pointee &- 0x30 <= 9 { unsafe at += 1 }
      guard unsafe at > afterPoint! else { throw unsafe at < end ? .badNumber : .truncated }
    }
    let lastDigit = unsafe at
    if unsafe at < end, unsafe at.pointee | 0x20 == 0x65 {
      unsafe at += 1
      var isDown = false
      if unsafe at < end, unsafe at.pointee == 0x2B || at.pointee == 0x2D {
        isDown = unsafe at.pointee == 0x2D
        unsafe at += 1
      }
      let start = unsafe at
      while unsafe at < end, unsafe at.pointee &- 0x30 <= 9 {
        exponent = min(exponent &* 10 &+ Int32(unsafe at.pointee &- 0x30), 100_000)
        unsafe at += 1
      }
      guard unsafe at > start else { throw unsafe at < end ? .badNumber : .truncated }
      if isDown { exponent = -exponent }
    }
    unsafe next = at
    var mantissa: UInt64 = 0
    var digits = 0
    var digit = unsafe firstDigit
    while unsafe digit < lastDigit {
      if unsafe digit.pointee != 0x2E {
        let value = UInt64(unsafe digit.pointee &- 0x30)
        if digits < 19 { mantissa = mantissa &* 10 &+ value }
        if digits > 0 || value > 0 { digits += 1 }
      }
      unsafe digit += 1
    }
    let behind = unsafe afterPoint.map { unsafe Int32(clamping: lastDigit - $0) } ?? 0
    return JSONNumber(
      isNegative: isNegative, mantissa: mantissa, exponent: exponent &- behind, isExact: digits <= 19, isInteger: false)
  }
}
