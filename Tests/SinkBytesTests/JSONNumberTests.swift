import TestServers
import Testing

@testable import SinkBytes

@Suite struct JSONNumberTests {
  private func number<Result>(
    _ text: String, _ body: (JSONNumber, UnsafeRawBufferPointer) throws(NumberFailure) -> Result
  ) throws -> Result {
    let bytes = Array(text.utf8)
    return try unsafe bytes.withUnsafeBytes { bytes in
      var cursor = unsafe JSONCursor(bytes)
      let number = try cursor.number()
      try cursor.finish()
      return try unsafe body(number, bytes)
    }
  }

  private func double(_ text: String) throws -> Double {
    try unsafe number(text) { (number, text) throws(NumberFailure) in try unsafe number.double(text) }
  }

  private func scaled(_ text: String, by scale: Int) throws -> Int128 {
    try unsafe number(text) { (number, text) throws(NumberFailure) in try unsafe number.scaled(by: scale, text) }
  }

  /// Both ways to an integer: the short one may decline, but never says another thing.
  private func integer<T: FixedWidthInteger>(_ text: String, _ type: T.Type) throws -> T {
    let value = try unsafe number(text) { (number, text) throws(NumberFailure) in try unsafe number.integer(type, text)
    }
    let bytes = Array(text.utf8)
    unsafe bytes.withUnsafeBytes { bytes in
      var cursor = unsafe JSONCursor(bytes)
      if let short = cursor.shortInteger(type) { #expect(short == value && cursor.isAtEnd) }
    }
    return value
  }

  /// The nearest double, however the number is written, as the standard library has it.
  @Test(arguments: [UInt64(11), 12, 13]) func doublesAreTheNearest(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var texts = (0..<3000).map { _ in JSONTexts.number(&random) }
    texts += (0..<3000).compactMap { _ in
      let value = Double(bitPattern: random.next())
      return value.isFinite ? "\(value)" : nil
    }
    // Halfway between two doubles, and one digit beside it.
    texts += (0..<2000).flatMap { _ in
      let odd = (1 << 53) + 1 + 2 * UInt64(random.below(1 << 52))
      let exponent = random.below(28)
      return ["\(odd)e\(exponent)", "\(odd)0e-\(exponent)", "\(odd).01", "\(odd)1e-\(exponent)", "\(odd)e-\(exponent)"]
    }
    texts += (0..<3000).map { _ in "\(random.next() >> UInt64(random.below(40)))e\(random.below(70) - 35)" }
    for text in texts {
      let wanted = try #require(Double(text))
      if wanted.isInfinite {
        #expect(throws: NumberFailure.outOfRange) { try double(text) }
      } else {
        #expect(try double(text).bitPattern == wanted.bitPattern, "seed \(seed): \(text)")
      }
    }
  }

  @Test func integersAreExactOrRefused() throws {
    #expect(try integer("18446744073709551615", UInt64.self) == .max)
    #expect(try integer("18446744073709551615.000", UInt64.self) == .max)
    #expect(try integer("9223372036854775807", Int64.self) == .max)
    #expect(try integer("-9223372036854775808", Int64.self) == .min)
    #expect(try integer("-9223372036854775808.0", Int64.self) == .min)
    #expect(try integer("9999999999999999999", UInt64.self) == 9_999_999_999_999_999_999)
    #expect(try integer("1" + String(repeating: "0", count: 60) + "e-60", UInt8.self) == 1)
    #expect(try integer("0." + String(repeating: "0", count: 60) + "1e61", UInt8.self) == 1)
    #expect(try integer("12e1", UInt8.self) == 120)
    #expect(try integer("1200e-1", UInt8.self) == 120)
    #expect(try integer("-0", UInt8.self) == 0)
    #expect(try integer("0e999999999999", Int8.self) == 0)
    for text in [
      "256", "-1", "18446744073709551616", "1e3", "1e999999999999", "99999999999999999999999999999999999999999",
    ] {
      #expect(throws: NumberFailure.outOfRange, "\(text)") { try integer(text, UInt8.self) }
    }
    #expect(throws: NumberFailure.outOfRange) { try integer("9223372036854775808", Int64.self) }
    #expect(throws: NumberFailure.outOfRange) { try integer("-9223372036854775809", Int64.self) }
    #expect(throws: NumberFailure.outOfRange) { try integer("18446744073709551616", UInt64.self) }
    for text in ["0.5", "1e-1", "1e-999999999999", "0." + String(repeating: "0", count: 150_000) + "1e100000"] {
      #expect(throws: NumberFailure.fraction, "\(text.prefix(20))") { try integer(text, UInt8.self) }
    }
  }

  /// A scaled integer of any size, written with its point anywhere, comes back.
  @Test(arguments: [UInt64(21), 22]) func decimalsAreExact(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<4000 {
      let digits = 1 + random.below(38)
      let scale = random.below(digits + 1)
      var value = Int128(UInt128(random.next()) << 63 | UInt128(random.next()))
      var limit: Int128 = 1
      for _ in 0..<digits { limit *= 10 }
      value %= limit
      let sign = random.below(2) == 0 ? "" : "-"
      let padded = String(repeating: "0", count: max(0, scale + 1 - "\(value)".count)) + "\(value)"
      let text = sign + padded.dropLast(scale) + (scale > 0 ? "." + padded.suffix(scale) : "")
      let wanted = sign == "" ? value : -value
      #expect(try scaled(text, by: scale) == wanted, "seed \(seed): \(text)")
      #expect(try scaled(text + "e0", by: scale) == wanted, "seed \(seed): \(text)e0")
      let isNoShorter = try unsafe number(text) { (number, _) throws(NumberFailure) in
        number.shortScaled(by: scale).map { Int128($0) == wanted } ?? true
      }
      #expect(isNoShorter, "seed \(seed): \(text)")
    }
    #expect(throws: NumberFailure.fraction) { try scaled("1.005", by: 2) }
    #expect(try scaled("1.500", by: 1) == 15)
  }
}
