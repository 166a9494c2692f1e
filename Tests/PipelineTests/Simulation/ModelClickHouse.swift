@testable import Pipeline

/// A table with a deduplication window, as far as inserts of whole blocks see it. Times are milliseconds.
struct ModelClickHouse {
  struct Row: Hashable {
    let partition: Int
    let version: Int
    let offset: Int
  }

  let windowMilliseconds: Int
  let windowCount: Int
  /// The negative control: tokens mean nothing.
  let ignoresTokens: Bool
  private(set) var counts: [Row: Int] = [:]
  private var window: [(token: DeduplicationToken, placement: UInt64, landedAt: Int)] = []
  private(set) var deduplicated = 0

  init(windowMilliseconds: Int, windowCount: Int, ignoresTokens: Bool) {
    self.windowMilliseconds = windowMilliseconds
    self.windowCount = windowCount
    self.ignoresTokens = ignoresTokens
  }

  /// - Parameter placement: what a mapping makes of the rows: in another table partition a token is not found.
  /// - Returns: whether the block's rows were stored now.
  mutating func land(
    _ token: DeduplicationToken, _ placement: UInt64, _ partition: Int, _ version: Int, _ offsets: [Int], _ now: Int
  ) -> Bool {
    if !ignoresTokens {
      let remembered = window.suffix(windowCount).contains {
        $0.token == token && $0.placement == placement && now - $0.landedAt < windowMilliseconds
      }
      if remembered {
        deduplicated += 1
        return false
      }
      window.append((token, placement, now))
    }
    for offset in offsets { counts[Row(partition: partition, version: version, offset: offset), default: 0] += 1 }
    return true
  }

  func count(_ partition: Int, _ version: Int, _ offset: Int) -> Int {
    counts[Row(partition: partition, version: version, offset: offset)] ?? 0
  }

  func distinct(_ partition: Int, _ version: Int, _ first: Int, _ last: Int) -> Int {
    (first...last).reduce(0) { $0 + (count(partition, version, $1) > 0 ? 1 : 0) }
  }
}
