internal import KafkaClient

/// Fills buckets from the log, and hands over each that is whole.
struct AuditVisitor: ~Copyable, RangeVisitor, @unchecked Sendable {
  // Sendable: moved once, onto the consumer's thread, before anything in it is used.
  private let run: AuditRun
  private let judges: [LogJudge]
  /// By range.
  private let judgeOfRange: [Int]
  private var buckets: [LogBucket]

  init(_ run: AuditRun, judges: [LogJudge], judgeOfRange: [Int]) {
    self.run = run
    self.judges = judges
    self.judgeOfRange = judgeOfRange
    buckets = run.partitions.map { LogBucket(LogBucket.first(of: $0.range)) }
  }

  var isFull: Bool { run.isFull }

  mutating func visit(_ batch: borrowing RecordBatch, _ indices: Range<Int>, of range: Int) {
    let judge = judges[judgeOfRange[range]]
    var start = indices.lowerBound
    while start < indices.upperBound {
      passed(batch[start].offset, of: range)
      let end = buckets[range].offsets.upperBound
      var next = start + 1
      while next < indices.upperBound, batch[next].offset < end { next += 1 }
      var bucket = LogBucket(0..<0)
      swap(&bucket, &buckets[range])
      judge.judge(batch, start..<next) { offset, fate in bucket[offset] = fate }
      swap(&bucket, &buckets[range])
      start = next
    }
    run.read(upTo: batch[indices.upperBound - 1].offset + 1, of: range)
  }

  mutating func passed(_ offset: Int64, of range: Int) {
    while offset >= buckets[range].offsets.upperBound {
      let next = buckets[range].offsets.upperBound..<run.partitions[range].range.upperBound
      guard !next.isEmpty else { return }
      run.close(buckets[range], of: range)
      buckets[range] = LogBucket(LogBucket.first(of: next))
    }
  }

  mutating func ended(_ offset: Int64, of range: Int) {
    passed(offset, of: range)
    run.close(buckets[range].prefix(upTo: offset), of: range)
    run.read(upTo: offset, of: range)
    run.end(range, at: offset)
    buckets[range] = LogBucket(0..<0)
  }
}
