/// Rows of a block that hold consecutive offsets of one partition.
///
/// Bad records are left out of a block, so a row's index says nothing about its offset; runs say it in a few bytes.
struct OffsetRun: Sendable, Equatable {
  /// Index into the pipeline's table of assigned partitions.
  let partition: Int
  let firstOffset: Int64
  let firstRow: Int
  var count: Int

  /// Where a row came from; nil beyond the runs. Runs are in the order of their rows.
  static func locate(row: Int, in runs: [OffsetRun]) -> (partition: Int, offset: Int64)? {
    var low = 0
    var high = runs.count
    while low < high {
      let middle = (low + high) / 2
      if runs[middle].firstRow + runs[middle].count <= row { low = middle + 1 } else { high = middle }
    }
    guard low < runs.count, runs[low].firstRow <= row else { return nil }
    return (runs[low].partition, runs[low].firstOffset + Int64(row - runs[low].firstRow))
  }

  /// What runs take in memory.
  static func bytes(of runs: [OffsetRun]) -> Int { runs.capacity * MemoryLayout<OffsetRun>.stride }
}
