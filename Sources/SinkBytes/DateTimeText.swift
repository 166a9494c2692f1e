/// A date, or a date with a time, as ISO 8601 and ClickHouse write it: `2026-11-24`, `2026-11-24 10:00:00`,
/// `2026-11-24T10:00:00.123456Z`, `…+02:00`, `…+0200`, `…+02`.
@frozen public struct DateTimeText: Sendable, Equatable {
  /// Since 1970-01-01.
  public let days: Int32
  /// nil for a date alone.
  public let secondOfDay: Int32?
  /// Of a second, `fractionDigits` decimals of it; decimals beyond the ninth must be zeros.
  public let fraction: Int32
  public let fractionDigits: Int32
  /// East of UTC; nil where the text does not say.
  public let offsetSeconds: Int32?

  /// Seconds since 1970-01-01 as the text's own clock shows them.
  public var localSeconds: Int64 { Int64(days) * 86_400 + Int64(secondOfDay ?? 0) }

  /// nil where it is no such text, or no such day or time.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    var reader = unsafe Reader(bytes)
    let (year, month, day) = (reader.pair() * 100 + reader.pair(), reader.pairAfter(0x2D), reader.pairAfter(0x2D))
    guard !reader.isWrong, let date = CivilDate(year: year, month: month, day: day) else { return nil }
    days = date.daysSinceEpoch
    guard reader.pass(0x54) || reader.pass(0x20) || reader.pass(0x74) else {
      guard reader.isAtEnd else { return nil }
      (secondOfDay, fraction, fractionDigits, offsetSeconds) = (nil, 0, 0, nil)
      return
    }
    let (hour, minute) = (reader.pair(), reader.pairAfter(0x3A))
    var second: Int32 = 0
    if reader.pass(0x3A) {
      second = reader.pair()
      if reader.pass(0x2E) || reader.pass(0x2C) { reader.readFraction() }
    }
    guard !reader.isWrong, hour < 24, minute < 60, second < 60 else { return nil }
    secondOfDay = hour * 3600 + minute * 60 + second
    (fraction, fractionDigits) = (reader.fraction, reader.fractionDigits)
    offsetSeconds = reader.offset()
    guard !reader.isWrong, reader.isAtEnd else { return nil }
  }

  /// Notes what is wrong and reads on, so that a right text, which nearly all are, is read without a branch a digit.
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

    mutating func pass(_ byte: UInt8) -> Bool {
      guard unsafe next < end, unsafe next.pointee == byte else { return false }
      unsafe next += 1
      return true
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

    @inline(__always) mutating func pairAfter(_ byte: UInt8) -> Int32 {
      guard unsafe end - next >= 3 else {
        isWrong = true
        return 0
      }
      isWrong = unsafe isWrong || next.pointee != byte
      unsafe next += 1
      return pair()
    }

    mutating func readFraction() {
      var count: Int32 = 0
      while unsafe next < end, unsafe next.pointee &- 0x30 <= 9 {
        let digit = unsafe Int32(next.pointee &- 0x30)
        if count < 9 {
          fraction = fraction &* 10 &+ digit
        } else if digit != 0 {
          isWrong = true
        }
        count += 1
        unsafe next += 1
      }
      if count == 0 { isWrong = true }
      fractionDigits = min(count, 9)
    }

    /// nil where there is none.
    mutating func offset() -> Int32? {
      if isAtEnd { return nil }
      if pass(0x5A) || pass(0x7A) { return 0 }
      let isWest = pass(0x2D)
      guard isWest || pass(0x2B) else {
        isWrong = true
        return nil
      }
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
  }
}
