internal import Glibc

/// Where the shells around the state machines read the time; a test gives its own.
package struct TimeSource: Sendable {
  package let monotonic: @Sendable () -> MonotonicInstant
  /// Nanoseconds since 1970-01-01 UTC.
  package let wallNanoseconds: @Sendable () -> Int64

  package init(
    monotonic: @escaping @Sendable () -> MonotonicInstant, wallNanoseconds: @escaping @Sendable () -> Int64
  ) {
    self.monotonic = monotonic
    self.wallNanoseconds = wallNanoseconds
  }

  /// The machine's clocks.
  package static let system = TimeSource(
    monotonic: { MonotonicInstant(nanoseconds: read(CLOCK_BOOTTIME)) },
    wallNanoseconds: { read(CLOCK_REALTIME) })

  private static func read(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    let status = unsafe clock_gettime(clock, &time)
    precondition(status == 0, "clock \(clock) cannot be read")
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
