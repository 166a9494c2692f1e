/// The bounds of one pipeline's appetite.
public struct LimitsConfiguration: Sendable, Equatable {
  /// For records fetched, open and sealed blocks, compressed bodies and dead letters on their way. What the process
  /// needs besides (code, stacks, TLS, the allocator's slack) is about 25 MiB more.
  public var memoryBytes: Int
  /// Inserts under way at once, over all tables.
  public var insertsInFlight: Int
  /// How long a shutdown may wait for blocks to land before it leaves them to the next start.
  public var drain: Duration
  /// The longest time between two commits while blocks land.
  public var commitInterval: Duration
  /// After that a commit that nobody has answered counts as unknown.
  public var commitDeadline: Duration

  public init(
    memoryBytes: Int = 96 << 20, insertsInFlight: Int = 4, drain: Duration = .seconds(20),
    commitInterval: Duration = .seconds(1), commitDeadline: Duration = .seconds(10)
  ) {
    self.memoryBytes = memoryBytes
    self.insertsInFlight = insertsInFlight
    self.drain = drain
    self.commitInterval = commitInterval
    self.commitDeadline = commitDeadline
  }
}
