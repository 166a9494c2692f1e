/// A date, or a date with a time, as ISO 8601 and ClickHouse write it: `2026-11-24`, `2026-11-24 10:00:00`,
/// `2026-11-24T10:00:00.123456Z`, `…+02:00`, `…+0200`.
@frozen public struct DateTimeText: Sendable, Equatable {
  public let days: Int32
  /// nil for a date alone.
  public let secondOfDay: Int32?
  /// Of a second; digits beyond the ninth must be zeros.
  public let nanoseconds: Int32
  /// East of UTC; nil where the text does not say.
  public let offsetSeconds: Int32?

  public init(days: Int32, secondOfDay: Int32?, nanoseconds: Int32, offsetSeconds: Int32?) {
    self.days = days
    self.secondOfDay = secondOfDay
    self.nanoseconds = nanoseconds
    self.offsetSeconds = offsetSeconds
  }

  /// Seconds since 1970-01-01 as the text's own clock shows them.
  public var localSeconds: Int64 { Int64(days) * 86_400 + Int64(secondOfDay ?? 0) }

  /// nil where it is no such text, or no such day or time.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    var reader = unsafe Reader(bytes: bytes)
    guard let year = reader.digits(4), reader.pass(0x2D), let month = reader.digits(2), reader.pass(0x2D),
      let day = reader.digits(2), let date = CivilDate(year: year, month: month, day: day)
    else { return nil }
    days = date.daysSinceEpoch
    guard reader.pass(0x20) || reader.pass(0x54) || reader.pass(0x74) else {
      guard reader.isAtEnd else { return nil }
      (secondOfDay, nanoseconds, offsetSeconds) = (nil, 0, nil)
      return
    }
    guard let hour = reader.digits(2), hour < 24, reader.pass(0x3A), let minute = reader.digits(2), minute < 60 else {
      return nil
    }
    var second: Int32 = 0
    var fraction: Int32 = 0
    if reader.pass(0x3A) {
      guard let read = reader.digits(2), read < 60 else { return nil }
      second = read
      if reader.pass(0x2E) || reader.pass(0x2C) {
        guard let read = reader.fraction() else { return nil }
        fraction = read
      }
    }
    secondOfDay = hour * 3600 + minute * 60 + second
    nanoseconds = fraction
    guard let offset = reader.offset(), reader.isAtEnd else { return nil }
    offsetSeconds = offset.seconds
  }

  @safe private struct Reader {
    let bytes: UnsafeRawBufferPointer
    var at = 0

    init(bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

    var isAtEnd: Bool { unsafe at == bytes.count }

    mutating func pass(_ byte: UInt8) -> Bool {
      guard unsafe at < bytes.count, unsafe bytes[at] == byte else { return false }
      at += 1
      return true
    }

    mutating func digits(_ count: Int) -> Int32? {
      guard unsafe bytes.count - at >= count else { return nil }
      var value: Int32 = 0
      for _ in 0..<count {
        let digit = unsafe bytes[at] &- 0x30
        guard digit <= 9 else { return nil }
        value = value * 10 + Int32(digit)
        at += 1
      }
      return value
    }

    mutating func fraction() -> Int32? {
      var value: Int32 = 0
      var count = 0
      while unsafe at < bytes.count, unsafe bytes[at] &- 0x30 <= 9 {
        let digit = unsafe Int32(bytes[at] &- 0x30)
        if count < 9 { value = value * 10 + digit } else if digit != 0 { return nil }
        count += 1
        at += 1
      }
      guard count > 0 else { return nil }
      while count < 9 {
        value *= 10
        count += 1
      }
      return value
    }

    /// nil for a malformed one; seconds nil where there is none.
    mutating func offset() -> (seconds: Int32?, Void)? {
      if isAtEnd { return (nil, ()) }
      if pass(0x5A) || pass(0x7A) { return (0, ()) }
      let isWest = pass(0x2D)
      guard isWest || pass(0x2B), let hours = digits(2), hours <= 18 else { return nil }
      var minutes: Int32 = 0
      if !isAtEnd {
        _ = pass(0x3A)
        guard let read = digits(2), read < 60 else { return nil }
        minutes = read
      }
      let seconds = hours * 3600 + minutes * 60
      return (isWest ? -seconds : seconds, ())
    }
  }
}
