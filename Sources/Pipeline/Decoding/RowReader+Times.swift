internal import ClickHouseClient
internal import SinkBytes

/// Dates and times.
extension RowReader {
  @inline(never)
  mutating func time(
    _ op: ColumnOp, _ cursor: inout JSONCursor, _ byte: UInt8, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    switch op.kind {
    case .date:
      let days = try date(&cursor, byte)
      guard let value = UInt16(exactly: days) else { throw RowFailure(.badDate) }
      unsafe column.pointee.append(value)
    case .date32:
      let days = try date(&cursor, byte)
      guard (TimeRange.firstDay...TimeRange.lastDay).contains(days) else { throw RowFailure(.badDate) }
      unsafe column.pointee.append(days)
    case .dateTime:
      guard let value = UInt32(exactly: try ticks(op, digits: 0, &cursor, byte)) else { throw RowFailure(.badDate) }
      unsafe column.pointee.append(value)
    default: preconditionFailure("no time: \(op.kind)")
    }
  }

  /// A day, as text. A bare number could be days or seconds: it is refused.
  private mutating func date(_ cursor: inout JSONCursor, _ byte: UInt8) throws(RowFailure) -> Int32 {
    guard byte == 0x22 else { throw try wrongKind(&cursor) }
    guard let text = unsafe DateTimeText(try text(&cursor)), text.secondOfDay == nil else { throw RowFailure(.badDate) }
    return text.days
  }

  /// Ticks of `10^-digits` seconds since 1970-01-01 UTC: from a text, or from a number of seconds.
  @inline(never)
  mutating func ticks(
    _ op: ColumnOp, digits: Int, _ cursor: inout JSONCursor, _ byte: UInt8
  ) throws(RowFailure) -> Int64 {
    if byte == 0x22 {
      let bytes = try unsafe text(&cursor)
      if let text = unsafe DateTimeText(bytes) { return try ticks(of: text, digits: digits, op.table) }
      var inner = unsafe JSONCursor(bytes)
      guard let number = try? inner.number(), inner.isAtEnd else { throw RowFailure(.badDate) }
      return try unsafe ticks(of: number, bytes, digits: digits)
    }
    guard byte == 0x2D || byte &- 0x30 <= 9 else { throw try wrongKind(&cursor) }
    let start = cursor.offset
    let number = try json(&cursor) { (cursor) throws(JSONError) in try cursor.number() }
    return try unsafe ticks(of: number, cursor.bytes(from: start), digits: digits)
  }

  private func ticks(of text: DateTimeText, digits: Int, _ table: Int32) throws(RowFailure) -> Int64 {
    let seconds =
      text.offsetSeconds.map { text.localSeconds - Int64($0) } ?? zone(table).utcSeconds(local: text.localSeconds)
    guard TimeRange.seconds.contains(seconds) else { throw RowFailure(.badDate) }
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: PowersOfTen.int64(digits))
    guard !overflow else { throw RowFailure(.badDate) }
    var fraction = Int64(text.fraction)
    let surplus = Int(text.fractionDigits) - digits
    if surplus > 0 {
      let unit = PowersOfTen.int64(surplus)
      guard fraction % unit == 0 else { throw RowFailure(.losesPrecision) }
      fraction /= unit
    } else if surplus < 0 {
      fraction *= PowersOfTen.int64(-surplus)
    }
    let (ticks, isTooLate) = whole.addingReportingOverflow(fraction)
    guard !isTooLate else { throw RowFailure(.badDate) }
    return ticks
  }

  /// Seconds, always: a number too large for that (milliseconds, say) is out of range, never the year 9999.
  private func ticks(
    of number: JSONNumber, _ text: UnsafeRawBufferPointer, digits: Int
  ) throws(RowFailure) -> Int64 {
    let ticks: Int128
    do throws(NumberFailure) {
      ticks = try unsafe number.scaled(by: digits, text)
    } catch {
      throw RowFailure(number: error)
    }
    let unit = Int128(PowersOfTen.int64(digits))
    guard ticks >= Int128(TimeRange.seconds.lowerBound) * unit, ticks < Int128(TimeRange.seconds.upperBound) * unit,
      let value = Int64(exactly: ticks)
    else { throw RowFailure(.badDate) }
    return value
  }
}

/// What ClickHouse's `Date32` and `DateTime64` hold: 1900-01-01 to 2299-12-31.
enum TimeRange {
  static let firstDay: Int32 = -25_567
  static let lastDay: Int32 = 120_529
  static let seconds = Int64(firstDay) * 86_400..<(Int64(lastDay) + 1) * 86_400
}
