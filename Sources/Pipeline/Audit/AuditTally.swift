/// How many offsets of a range are where. Every offset is counted under exactly one of the first seven.
public struct AuditTally: Sendable, Equatable {
  /// Once in the table, and nowhere else.
  public internal(set) var rows = 0
  /// Once among the dead letters, and nowhere else.
  public internal(set) var deadLetters = 0
  /// Dropped by a transform.
  public internal(set) var filtered = 0
  /// Records without a value.
  public internal(set) var tombstones = 0
  /// Records that cannot be rows, on a route that skips them.
  public internal(set) var skipped = 0
  /// The log has no record to read: transactions' markers, aborted and compacted records.
  public internal(set) var notInLog = 0
  /// Nowhere, though the log has a record.
  public internal(set) var missing = 0
  /// More than once in the table or among the dead letters.
  public internal(set) var doubled = 0

  /// Rows and dead letters beyond the first of each doubled offset.
  public internal(set) var surplus = 0
  /// Of `notInLog`: those that the table or the dead letters have all the same.
  public internal(set) var keptThoughNotInLog = 0
  /// Offsets that are there once, but elsewhere than this configuration would put them: in the table though a transform
  /// would drop them, for instance. It, or the table, was another one then.
  public internal(set) var elsewhere = 0
  /// Dead letters in a topic beyond the first of each offset: there they are kept at least once.
  public internal(set) var repeatedDeadLetters = 0

  public init() {}

  /// Everything that the range holds.
  public var offsets: Int { rows + deadLetters + filtered + tombstones + skipped + notInLog + missing + doubled }
  /// What the log has a record of, and doubled ones.
  public var isClean: Bool { missing == 0 && doubled == 0 }

  public static func + (left: Self, right: Self) -> Self {
    var sum = left
    for path in paths { sum[keyPath: path] += right[keyPath: path] }
    return sum
  }

  private static var paths: [WritableKeyPath<Self, Int>] {
    [
      \.rows, \.deadLetters, \.filtered, \.tombstones, \.skipped, \.notInLog, \.missing, \.doubled, \.surplus,
      \.keptThoughNotInLog, \.elsewhere, \.repeatedDeadLetters,
    ]
  }
}
