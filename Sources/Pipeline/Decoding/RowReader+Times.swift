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
      guard let value = UInt16(exactly: try day(&cursor, byte)) else { throw RowFailure(.badDate) }
      unsafe column.pointee.append(value)
    case .date32:
      let value = try day(&cursor, byte)
      guard times.days.contains(value) else { throw RowFailure(.badDate) }
      unsafe column.pointee.append(value)
    default:
      guard let value = UInt32(exactly: try ticks(op, digits: 0, &cursor, byte)) else { throw RowFailure(.badDate) }
      unsafe column.pointee.append(value)
    }
  }

  /// A day: as text, or as a number of days since 1970-01-01.
  private mutating func day(_ cursor: inout JSONCursor, _ byte: UInt8) throws(RowFailure) -> Int32 {
    if byte == 0x22 {
      guard let text = unsafe DateTimeText(try text(&cursor)), text.secondOfDay == nil else {
        throw RowFailure(.badDate)
      }
      return text.days
    }
    let start = cursor.offset
    let number = try number(&cursor, byte)
    do throws(NumberFailure) {
      return try unsafe number.integer(Int32.self, cursor.bytes(from: start))
    } catch {
      throw RowFailure(error == .fraction ? .losesPrecision : .badDate)
    }
  }

  private mutating func number(_ cursor: inout JSONCursor, _ byte: UInt8) throws(RowFailure) -> JSONNumber {
    guard byte == 0x2D || byte &- 0x30 <= 9 else { throw try wrongKind(&cursor) }
    return try json(&cursor) { (cursor) throws(JSONError) in try cursor.number() }
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
      // Eight digits are a day, and this one is none.
      guard bytes.count != 8, let number = try? inner.number(), inner.isAtEnd else { throw RowFailure(.badDate) }
      return try unsafe ticks(of: number, bytes, digits: digits)
    }
    let start = cursor.offset
    let number = try number(&cursor, byte)
    return try unsafe ticks(of: number, cursor.bytes(from: start), digits: digits)
  }

  private func ticks(of text: DateTimeText, digits: Int, _ table: Int32) throws(RowFailure) -> Int64 {
    let seconds =
      text.offsetSeconds.map { text.localSeconds - Int64($0) } ?? utcSeconds(local: text.localSeconds, table)
    guard times.seconds.contains(seconds) else { throw RowFailure(.badDate) }
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

  private func utcSeconds(local seconds: Int64, _ zone: Int32) -> Int64 {
    plan.zones[Int(zone)].utcSeconds(local: seconds)
  }

  /// Seconds; whole numbers of 13, 16 and 19 digits, which no second within the range has, are milli-, micro- and
  /// nanoseconds.
  private func ticks(
    of number: JSONNumber, _ text: UnsafeRawBufferPointer, digits: Int
  ) throws(RowFailure) -> Int64 {
    let scale = digits - (number.exponent == 0 && number.isExact ? Self.epochDigits(number.mantissa) : 0)
    let ticks: Int64
    if let short = number.shortScaled(by: scale) {
      ticks = short
    } else {
      do throws(NumberFailure) {
        guard let value = Int64(exactly: try unsafe number.scaled(by: scale, text)) else { throw .outOfRange }
        ticks = value
      } catch {
        throw RowFailure(error == .fraction ? .losesPrecision : .badDate)
      }
    }
    let unit = PowersOfTen.int64(digits)
    guard times.seconds.contains(ticks >= 0 ? ticks / unit : (ticks + 1) / unit - 1) else {
      throw RowFailure(.badDate)
    }
    return ticks
  }

  private static func epochDigits(_ epoch: UInt64) -> Int {
    switch epoch {
    case 1_000_000_000_000..<10_000_000_000_000: 3
    case 1_000_000_000_000_000..<10_000_000_000_000_000: 6
    case 1_000_000_000_000_000_000..<10_000_000_000_000_000_000: 9
    default: 0
    }
  }
}
