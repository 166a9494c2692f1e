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
    default: unsafe column.pointee.append(try ticks(op, digits: Int(op.size), &cursor, byte))
    }
  }

  /// A day, as text. A bare number could be days or seconds: it is refused.
  private mutating func date(_ cursor: inout JSONCursor, _ byte: UInt8) throws(RowFailure) -> Int32 {
    guard byte == 0x22 else { throw try wrongKind(&cursor) }
    guard let text = unsafe DateTimeText(try text(&cursor)), text.secondOfDay == nil else { throw RowFailure(.badDate) }
    return text.days
  }

  /// Ticks of `10^-digits` seconds since 1970-01-01 UTC: from a text, or from a number of seconds.
  private mutating func ticks(
    _ op: ColumnOp, digits: Int, _ cursor: inout JSONCursor, _ byte: UInt8
  ) throws(RowFailure) -> Int64 {
    if byte == 0x22 {
      let bytes = try unsafe text(&cursor)
      if let text = unsafe DateTimeText(bytes) { return try ticks(of: text, digits: digits, op.table) }
      var inner = unsafe JSONCursor(bytes)
      guard let number = try? inner.number(), inner.offset == bytes.count else { throw RowFailure(.badDate) }
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
    let unit = PowersOfTen.int128(9 - digits)
    guard Int128(text.nanoseconds) % unit == 0 else { throw RowFailure(.losesPrecision) }
    return try inRange(
      Int128(seconds) * PowersOfTen.int128(digits) + Int128(text.nanoseconds) / unit, digits: digits)
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
    return try inRange(ticks, digits: digits)
  }

  private func inRange(_ ticks: Int128, digits: Int) throws(RowFailure) -> Int64 {
    let unit = PowersOfTen.int128(digits)
    let first = Int128(TimeRange.firstDay) * 86_400 * unit
    let end = (Int128(TimeRange.lastDay) + 1) * 86_400 * unit
    guard ticks >= first, ticks < end, let value = Int64(exactly: ticks) else { throw RowFailure(.badDate) }
    return value
  }
}

/// What ClickHouse's `Date32` and `DateTime64` hold: 1900-01-01 to 2299-12-31.
enum TimeRange {
  static let firstDay: Int32 = -25_567
  static let lastDay: Int32 = 120_529
}
