internal import SinkBytes

/// Points in time as text.
enum Timestamp {
  /// `2026-11-24T10:00:00.123Z`
  static func text(_ nanosecondsSinceEpoch: Int64) -> String {
    let milliseconds = nanosecondsSinceEpoch / 1_000_000
    let days = milliseconds / 86_400_000
    let rest = milliseconds - days * 86_400_000
    let date = CivilDate(daysSinceEpoch: Int32(truncatingIfNeeded: days))
    func padded(_ value: some BinaryInteger, _ width: Int) -> String {
      let digits = String(value)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let time = [rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60].map { padded($0, 2) }.joined(separator: ":")
    return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T\(time).\(padded(rest % 1000, 3))Z"
  }
}
