/// A date, or a date with a time, as ISO 8601 and ClickHouse write it: `2026-11-24`, `2026-11-24 10:00:00`,
/// `2026-11-24T10:00:00.123456Z`, `20261124T100000+0200`, `2026-11-24 10:00:00 UTC`.
@frozen public struct DateTimeText: Sendable, Equatable {
  /// Since 1970-01-01.
  public let days: Int32
  /// nil for a date alone; 86,400 for `24:00:00`, the end of the day.
  public let secondOfDay: Int32?
  /// Of a second, `fractionDigits` decimals of it; decimals beyond the ninth must be zeros.
  public let fraction: Int32
  public let fractionDigits: Int32
  /// East of UTC; nil where the text does not say.
  public let offsetSeconds: Int32?

  /// Seconds since 1970-01-01 as the text's own clock shows them.
  public var localSeconds: Int64 { Int64(days) * 86_400 + Int64(secondOfDay ?? 0) }

  /// nil where it is no such text, or no such day or time.
  ///
  /// A leap second, `60` at the end of a quarter of an hour, is the second after it, as POSIX counts.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    var reader = unsafe Reader(bytes)
    let year = reader.pair() &* 100 &+ reader.pair()
    let isBasic = !reader.pass(0x2D)
    let month = reader.pair()
    if !isBasic { reader.require(0x2D) }
    guard let date = CivilDate(year: year, month: month, day: reader.pair()), !reader.isWrong else { return nil }
    days = date.daysSinceEpoch
    guard reader.pass(0x54) || reader.pass(0x20) || reader.pass(0x74) else {
      guard reader.isAtEnd else { return nil }
      (secondOfDay, fraction, fractionDigits, offsetSeconds) = (nil, 0, 0, nil)
      return
    }
    guard let time = reader.time(isBasic: isBasic) else { return nil }
    secondOfDay = time
    (fraction, fractionDigits) = (reader.fraction, reader.fractionDigits)
    offsetSeconds = reader.offset()
    guard !reader.isWrong, reader.isAtEnd else { return nil }
  }

  /// Notes what is wrong and reads on, so that a right text, which nearly all are, is read with few branches.
  @safe private struct Reader {
    private var next: UnsafePointer<UInt8>
    private let end: UnsafePointer<UInt8>
    private(set) var isWrong = false
    private(set) var fraction: Int32 = 0
    private(set) var fractionDigits: Int32 = 0

    init(_ bytes: UnsafeRawBufferPointer) {
      let base = unsafe bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
      unsafe next = base.assumingMemoryBound(to: UInt8.self)
      unsafe end = next + bytes.count
    }

    var isAtEnd: Bool { unsafe next == end }

    @inline(__always) mutating func pass(_ byte: UInt8) -> Bool {
      guard unsafe next < end, unsafe next.pointee == byte else { return false }
      unsafe next += 1
      return true
    }

    @inline(__always) mutating func require(_ byte: UInt8) {
      if !pass(byte) { isWrong = true }
    }

    /// Two digits.
    @inline(__always) mutating func pair() -> Int32 {
      guard unsafe end - next >= 2 else {
        isWrong = true
        return 0
      }
      let (tens, ones) = unsafe (next[0] &- 0x30, next[1] &- 0x30)
      unsafe next += 2
      isWrong = isWrong || tens > 9 || ones > 9
      return Int32(tens) &* 10 &+ Int32(ones)
    }

    private var isAtDigit: Bool { unsafe next < end && next.pointee &- 0x30 <= 9 }

    /// Minutes and seconds may be missing; with the date's hyphens go the time's colons.
    @inline(__always) mutating func time(isBasic: Bool) -> Int32? {
      let hour = pair()
      var (minute, second): (Int32, Int32) = (0, 0)
      if isBasic ? isAtDigit : pass(0x3A) {
        minute = pair()
        if isBasic ? isAtDigit : pass(0x3A) {
          second = pair()
          if pass(0x2E) || pass(0x2C) { readFraction() }
        }
      }
      guard !isWrong, minute < 60 else { return nil }
      if hour >= 24 { guard hour == 24, minute == 0, second == 0, fraction == 0 else { return nil } }
      if second >= 60 { guard second == 60, minute % 15 == 14, fraction == 0 else { return nil } }
      return hour &* 3600 &+ minute &* 60 &+ second
    }

    private mutating func readFraction() {
      var count: Int32 = 0
      while isAtDigit {
        let digit = unsafe Int32(next.pointee &- 0x30)
        if count < 9 {
          fraction = fraction &* 10 &+ digit
        } else if digit != 0 {
          isWrong = true
        }
        count &+= 1
        unsafe next += 1
      }
      if count == 0 { isWrong = true }
      fractionDigits = min(count, 9)
    }

    /// nil where there is none.
    mutating func offset() -> Int32? {
      if isAtEnd { return nil }
      if pass(0x5A) || pass(0x7A) { return 0 }
      if pass(0x20) {
        if pass(0x5A) || pass(0x7A) || pass("UTC") || pass("GMT") { return 0 }
      }
      let isWest = pass(0x2D)
      if !isWest { require(0x2B) }
      let hours = pair()
      var minutes: Int32 = 0
      if !isAtEnd {
        _ = pass(0x3A)
        minutes = pair()
      }
      if hours > 18 || minutes > 59 { isWrong = true }
      let seconds = hours &* 3600 &+ minutes &* 60
      return isWest ? -seconds : seconds
    }

    private mutating func pass(_ word: StaticString) -> Bool {
      let count = word.utf8CodeUnitCount
      guard unsafe end - next >= count else { return false }
      for index in 0..<count { guard unsafe next[index] == word.utf8Start[index] else { return false } }
      unsafe next += count
      return true
    }
  }
}
