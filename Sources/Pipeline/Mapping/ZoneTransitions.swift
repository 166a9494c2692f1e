/// When a time zone's distance to UTC changes, as the ClickHouse server that will show the times has it.
///
/// No zone files are read here: the server's are the ones that count. A local time that a change skips is read with the
/// distance after the change, one that comes twice with the one before, as ClickHouse does.
public struct ZoneTransitions: Sendable, Equatable {
  /// Seconds since 1970-01-01 UTC, ascending: from here on the offset of the same index holds.
  public let instants: [Int64]
  /// Seconds east of UTC.
  public let offsets: [Int32]
  /// What held before the first change.
  public let initialOffset: Int32

  public init(initialOffset: Int32, changes: [(instant: Int64, offset: Int32)]) {
    precondition(zip(changes, changes.dropFirst()).allSatisfy { $0.instant < $1.instant })
    self.initialOffset = initialOffset
    instants = changes.map(\.instant)
    offsets = changes.map(\.offset)
  }

  public static let utc = ZoneTransitions(initialOffset: 0, changes: [])

  /// The instant that a clock in the zone shows as `localSeconds`.
  func utcSeconds(local localSeconds: Int64) -> Int64 {
    // The first change after which the clock could not have shown this time before: from there the new offset holds.
    var low = 0
    var high = instants.count
    while low < high {
      let middle = (low + high) / 2
      let before = middle == 0 ? initialOffset : offsets[middle - 1]
      if instants[middle] + Int64(before) <= localSeconds { low = middle + 1 } else { high = middle }
    }
    return localSeconds - Int64(low == 0 ? initialOffset : offsets[low - 1])
  }
}
