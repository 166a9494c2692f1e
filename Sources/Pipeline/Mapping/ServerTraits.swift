/// What a plan must know of the server that will store its rows.
struct ServerTraits: Sendable {
  /// Where columns without a zone of their own show their times.
  let zone: String
  /// Whether it fills in an expression DEFAULT for NULL in a Native block.
  let nullAsDefault: Bool
  /// What its `Date32` and `DateTime64` show.
  let times: TimeRange
}

/// The days that `Date32` and `DateTime64` show as what they are.
struct TimeRange: Sendable, Equatable {
  /// Days since 1970-01-01.
  let days: ClosedRange<Int32>

  /// Since 1970-01-01 UTC.
  var seconds: Range<Int64> { Int64(days.lowerBound) * 86_400..<(Int64(days.upperBound) + 1) * 86_400 }

  /// 1900-01-01 to 2299-12-31: what lies outside is stored, and shown as another day.
  static let narrow = TimeRange(days: -25_567...120_529)
  /// 0001-01-01 to 9999-12-31, as servers of 2026 have it.
  static let wide = TimeRange(days: -719_162...2_932_896)
}
