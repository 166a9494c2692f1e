import TestServers
import Testing

@testable import SinkBytes

@Suite struct DateTimeTextTests {
  /// The first and the last day of every month of ten thousand years, counted one month after the other.
  @Test func daysAreCountedAsACalendarDoes() {
    var day: Int32 = -719_162
    var wrong = 0
    for year in Int32(1)...9999 {
      let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
      for (index, length) in [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].enumerated() {
        let month = Int32(index) + 1
        let last = day + Int32(length) - 1
        if CivilDate(year: year, month: month, day: 1)?.daysSinceEpoch != day { wrong += 1 }
        if CivilDate(daysSinceEpoch: last) != CivilDate(year: year, month: month, day: Int32(length)) { wrong += 1 }
        if CivilDate(year: year, month: month, day: Int32(length) + 1) != nil { wrong += 1 }
        day = last + 1
      }
    }
    #expect(wrong == 0)
    #expect(day == 2_932_897)
  }

  private func read(_ text: String) -> DateTimeText? {
    unsafe Array(text.utf8).withUnsafeBytes { unsafe DateTimeText($0) }
  }

  /// A random time in every way to write it.
  @Test(arguments: [UInt64(41), 42]) func everySpellingIsTheSameTime(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    func two(_ value: Int32) -> String { (value < 10 ? "0" : "") + "\(value)" }
    for _ in 0..<3000 {
      let days = Int32(random.below(3_652_059)) - 719_162
      let date = CivilDate(daysSinceEpoch: days)
      let second = Int32(random.below(86_400))
      let digits = random.below(10)
      let fraction = Int32(
        random.below([1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000][digits]))
      let offset = Int32(random.below(37) - 18) * 3600 + Int32([0, 0, 1800, 2700][random.below(4)])
      let isBasic = random.below(3) == 0
      let (hyphen, colon) = isBasic ? ("", "") : ("-", ":")
      var text = String(repeating: "0", count: 4 - "\(date.year)".count) + "\(date.year)"
      text += hyphen + two(date.month) + hyphen + two(date.day) + ["T", " ", "t"][random.below(3)]
      text += two(second / 3600) + colon + two(second / 60 % 60) + colon + two(second % 60)
      if digits > 0 {
        text +=
          [".", ","][random.below(2)] + String(repeating: "0", count: digits - "\(fraction)".count) + "\(fraction)"
      }
      if random.below(4) == 0 { text += String(repeating: digits == 9 ? "0" : "", count: 2) }
      var wanted: Int32?
      switch random.below(4) {
      case 0: break
      case 1:
        text += ["Z", "z", " Z", " UTC", " GMT"][random.below(5)]
        wanted = 0
      default:
        guard abs(offset) <= 18 * 3600 else { break }
        wanted = offset
        text += (offset < 0 ? "-" : "+") + two(abs(offset) / 3600)
        if offset % 3600 != 0 || random.below(2) == 0 {
          text += [":", ""][random.below(2)] + two(abs(offset) / 60 % 60)
        }
      }
      let found = try #require(read(text), "seed \(seed): \(text)")
      #expect(
        found.days == days && found.secondOfDay == second && found.offsetSeconds == wanted, "seed \(seed): \(text)")
      #expect(
        Int(found.fractionDigits) == digits && (digits == 0 || found.fraction == fraction), "seed \(seed): \(text)")
      // Cut anywhere it is another text or none, and it is never read past its end.
      for count in 0..<text.utf8.count { _ = read(String(text.prefix(count))) }
    }
  }

  @Test(arguments: [
    "", "2026", "2026-11", "2026-11-2", "2026-13-01", "2026-00-01", "2026-11-00", "2026-11-31", "2026-1124",
    "202611-24",
    "2026-11-24T", "2026-11-24T1", "2026-11-24T10:", "2026-11-24T10:0", "2026-11-24T10:00:", "2026-11-24T10:00:0",
    "2026-11-24T1000", "20261124T10:00", "2026-11-24T10:00:00.", "2026-11-24T10:00:00.1234567891",
    "2026-11-24T10:00:00+",
    "2026-11-24T10:00:00+1", "2026-11-24T10:00:00+01:", "2026-11-24T10:00:00+01:6", "2026-11-24T10:00:00+01:60",
    "2026-11-24T10:00:00 CET", "2026-11-24T10:00:00ZZ", "2026-11-24T10:00:00  Z", "2026-11-24X10:00:00", "+2026-11-24",
    "2026-11-24T10:00:61Z", "2026-11-24T24:00:00.1Z", "２026-11-24",
  ]) func whatIsNoTimeIsNone(text: String) {
    #expect(read(text) == nil)
  }
}
