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
  @inlinable public func integer<T: FixedWidthInteger>(
    _ type: T.Type, _ text: UnsafeRawBufferPointer
  ) throws(NumberFailure) -> T {
    if isInteger, isExact {
      if !isNegative {
        guard let value = T(exactly: mantissa) else { throw .outOfRange }
        return value
      }
      if mantissa <= 1 << 63 {
        guard let value = T(exactly: Int64(truncatingIfNeeded: 0 &- mantissa)) else { throw .outOfRange }
        return value
      }
    }
    guard let value = T(exactly: try unsafe scaled(by: 0, text)) else { throw .outOfRange }
    return value
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

  /// All digits, where they did not fit 64 bits: trailing zeros go into the exponent first.
  private func digits(_ text: UnsafeRawBufferPointer) throws(NumberFailure) -> (value: UInt128, exponent: Int) {
    var value: UInt128 = 0
    var zeros = 0
    var isBehindPoint = false
    var exponent = 0
    for index in 0..<text.count {
      let byte = unsafe text[index]
      if byte == 0x2E {
        isBehindPoint = true
        continue
      }
      if byte | 0x20 == 0x65 {
        // The exponent's own digits were read before: what is left of it beyond the decimals behind the point.
        break
      }
      guard byte != 0x2D else { continue }
      if isBehindPoint { exponent -= 1 }
      if byte == 0x30 {
        zeros += 1
        continue
      }
      for _ in 0..<(value == 0 ? 0 : zeros + 1) {
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        guard !overflow else { throw .outOfRange }
        value = product
      }
      zeros = 0
      value += UInt128(byte &- 0x30)
    }
    return unsafe (value, exponent + zeros + writtenExponent(text))
  }

  private func writtenExponent(_ text: UnsafeRawBufferPointer) -> Int {
    var exponent = 0
    var isDown = false
    var isExponent = false
    for index in 0..<text.count {
      let byte = unsafe text[index]
      if byte | 0x20 == 0x65 {
        isExponent = true
      } else if isExponent, byte == 0x2D {
        isDown = true
      } else if isExponent, byte != 0x2B {
        exponent = min(exponent * 10 + Int(byte &- 0x30), 100_000)
      }
    }
    return isDown ? -exponent : exponent
  }

  /// The nearest double. Up to 2^53 and 10^±22 it is one exact operation (Clinger); the rest is the C library's.
  @inlinable public func double(_ text: UnsafeRawBufferPointer) throws(NumberFailure) -> Double {
    if isExact, mantissa <= 1 << 53, exponent >= -22, exponent <= 22 {
      let value = Double(mantissa)
      let scaled =
        exponent == 0 ? value : exponent < 0 ? value / Self.power(Int(-exponent)) : value * Self.power(Int(exponent))
      return isNegative ? -scaled : scaled
    }
    return try unsafe slowDouble(text)
  }

  @inlinable static func power(_ exponent: Int) -> Double { powersOfTen[exponent] }

  @usableFromInline static let powersOfTen: InlineArray<23, Double> = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
  ]

  @inline(never) @usableFromInline func slowDouble(_ text: UnsafeRawBufferPointer) throws(NumberFailure) -> Double {
    let value = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: text.count + 1) { copy in
      for index in 0..<text.count { unsafe copy[index] = CChar(bitPattern: text[index]) }
      unsafe copy[text.count] = 0
      return unsafe sink_strtod(copy.baseAddress!, nil)
    }
    guard value.isFinite else { throw .outOfRange }
    return value
  }
}
