/// How long to wait before an insert is tried again: exponential with full jitter, capped, for ever.
public struct RetryPolicy: Sendable, Equatable {
  /// The ceiling of the first wait.
  public var initial: Duration
  /// The ceiling of every wait.
  public var cap: Duration

  public init(initial: Duration = .milliseconds(200), cap: Duration = .seconds(30)) {
    self.initial = initial
    self.cap = cap
  }

  /// - Parameters:
  ///   - attempt: failed attempts so far, at least 1.
  ///   - random: uniform in 0 ..< 1. Half of the ceiling is fixed, so that a busy server always gets some rest.
  public func delay(afterAttempt attempt: Int, random: Double) -> Duration {
    delay(afterAttempt: attempt, random: random, cap: cap)
  }

  func delay(afterAttempt attempt: Int, random: Double, cap: Duration) -> Duration {
    precondition(attempt >= 1)
    let doublings = min(attempt - 1, 30)
    let ceiling = min(initial * (1 << doublings), cap)
    return ceiling * (0.5 + 0.5 * random)
  }
}
