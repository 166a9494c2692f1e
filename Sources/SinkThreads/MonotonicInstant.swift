/// A point on a clock that never goes back and that counts while the machine is suspended (`CLOCK_BOOTTIME` on Linux).
public struct MonotonicInstant: Sendable, Hashable, Comparable {
  /// Since an arbitrary start, the machine's boot.
  public let nanoseconds: Int64

  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  public static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

  public static func + (instant: Self, duration: Duration) -> Self {
    let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(duration.nanoseconds)
    return Self(nanoseconds: overflow ? (duration < .zero ? .min : .max) : sum)
  }

  public static func - (left: Self, right: Self) -> Duration {
    .nanoseconds(left.nanoseconds &- right.nanoseconds)
  }
}

extension Duration {
  /// Rounded towards zero; beyond 292 years it is clamped.
  package var nanoseconds: Int64 {
    let (whole, overflow) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
    guard !overflow else { return components.seconds < 0 ? .min : .max }
    let (sum, overflowed) = whole.addingReportingOverflow(components.attoseconds / 1_000_000_000)
    return overflowed ? (components.seconds < 0 ? .min : .max) : sum
  }

  /// Rounded towards zero, clamped to what a C `int` holds: librdkafka's and libcurl's unit.
  package var milliseconds: Int32 { Int32(clamping: nanoseconds / 1_000_000) }

  /// For metrics and messages.
  package var seconds: Double { Double(nanoseconds) / 1e9 }
}
