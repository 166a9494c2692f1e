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
  private struct Remembered {
    let token: DeduplicationToken
    let placement: UInt64
    let tablePartition: Int
    let landedAt: Int
  }

  private var window: [Remembered] = []
  private(set) var deduplicated = 0

  init(windowMilliseconds: Int, windowCount: Int, ignoresTokens: Bool) {
    self.windowMilliseconds = windowMilliseconds
    self.windowCount = windowCount
    self.ignoresTokens = ignoresTokens
  }

  /// A block goes into two partitions of the table one after the other, each of which remembers the token for itself.
  /// - Parameters:
  ///   - placement: what a mapping makes of the rows: in another table partition a token is not found.
  ///   - isCutShort: the server dies between the two.
  /// - Returns: whether rows were stored now.
  mutating func land(
    _ token: DeduplicationToken, _ placement: UInt64, _ rows: [Row], isCutShort: Bool, _ now: Int
  ) -> Bool {
    var isStored = false
    for tablePartition in 0..<(isCutShort ? 1 : 2) {
      let here = rows.filter { $0.offset & 1 == tablePartition }
      guard !here.isEmpty else { continue }
      if !ignoresTokens {
        let remembered = window.suffix(windowCount).contains {
          $0.token == token && $0.placement == placement && $0.tablePartition == tablePartition
            && now - $0.landedAt < windowMilliseconds
        }
        if remembered {
          deduplicated += 1
          continue
        }
        window.append(
          Remembered(token: token, placement: placement, tablePartition: tablePartition, landedAt: now))
      }
      for row in here { counts[row, default: 0] += 1 }
      isStored = true
    }
    return isStored
  }

  func count(_ partition: Int, _ version: Int, _ offset: Int) -> Int {
    counts[Row(partition: partition, version: version, offset: offset)] ?? 0
  }

  func distinct(_ partition: Int, _ version: Int, _ first: Int, _ last: Int) -> Int {
    (first...last).reduce(0) { $0 + (count(partition, version, $1) > 0 ? 1 : 0) }
  }
}
