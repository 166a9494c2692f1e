/// A sealed block and what it was split into, so that it lands once: when the last of its parts has.
///
/// A value inside the inserter; the parts' ids are the inserter's own.
struct BlockFamily: Sendable {
  let root: SealedBlock.ID
  let runs: [OffsetRun]
  private(set) var partsLeft = 1

  init(root: SealedBlock.ID, runs: [OffsetRun]) {
    self.root = root
    self.runs = runs
  }

  /// One part has become two.
  mutating func split() { partsLeft += 1 }

  /// - Returns: whether that was the last part.
  mutating func landPart() -> Bool {
    precondition(partsLeft > 0, "a part landed twice")
    partsLeft -= 1
    return partsLeft == 0
  }
}

extension OffsetRun {
  /// The runs of some of a block's rows, with rows counted from the first of them.
  static func slice(_ runs: [OffsetRun], rows: Range<Int>) -> [OffsetRun] {
    runs.compactMap { run in
      let low = max(run.firstRow, rows.lowerBound)
      let high = min(run.firstRow + run.count, rows.upperBound)
      guard low < high else { return nil }
      return OffsetRun(
        partition: run.partition, firstOffset: run.firstOffset + Int64(low - run.firstRow),
        firstRow: low - rows.lowerBound, count: high - low)
    }
  }
}
