internal import ClickHouseClient
internal import KafkaClient
internal import Synchronization

/// How often a table has each offset of some stretches of a topic; by partition, ascending.
typealias CountOffsets =
  @Sendable ([(partition: Int32, offsets: Range<Int64>)]) async throws(ClickHouseError) -> [Int32: [OffsetCount]]

/// One partition that an audit looks at, with what was learned before the log is read.
struct AuditedPartition: Sendable {
  let partition: TopicPartition
  let route: Int
  let range: Range<Int64>
  let deadLetters: BucketComparison.DeadLetterKeeping
  /// What asks the table about offsets of this topic.
  let countRows: CountOffsets
  /// The same for dead letters, where they are a table.
  let countLetters: CountOffsets?
  /// By bucket.
  let rows: [Int64: OffsetFingerprint]
  /// By bucket, of a table or a topic.
  let letterFingerprints: [Int64: OffsetFingerprint]
  /// Of a topic: ascending.
  let letters: [OffsetCount]
}

/// An audit under way. The consumer's thread hands over buckets of the log; most are settled at once by their fingerprints,
/// the others wait for a task that asks the table about their offsets, one request at a time.
final class AuditRun: Sendable {
  /// Buckets that may wait: 4 MiB.
  private static let waitingMax = 64
  /// Buckets in one question: their answer has a line for each offset.
  private static let askedAtOnce = 16

  struct Outcome: Sendable {
    var tally = AuditTally()
    var findings: AuditFindings
    /// Where the range, or the log, has ended.
    var end: Int64
    /// The last bucket that was looked at offset by offset: a range of findings may go on in the next one.
    var lastExact: Int64?
  }

  private struct Waiting {
    let range: Int
    let bucket: LogBucket
  }

  private struct State {
    var outcomes: [Outcome]
    var waiting: [Waiting] = []
    var positions: [Int64]
    /// Offsets that the consumer has passed, over all partitions.
    var read: Int64 = 0
  }

  let partitions: [AuditedPartition]
  private let offsetsInAll: Int64
  private let state: Mutex<State>
  private let progress: @Sendable (AuditProgress) -> Void
  private let signals: AsyncStream<Void>
  private let signal: AsyncStream<Void>.Continuation

  init(
    _ partitions: [AuditedPartition], findingsMax: Int, progress: @escaping @Sendable (AuditProgress) -> Void
  ) {
    self.partitions = partitions
    self.progress = progress
    offsetsInAll = partitions.reduce(0) { $0 + Int64($1.range.count) }
    state = Mutex(
      State(
        outcomes: partitions.map { Outcome(findings: AuditFindings(limit: findingsMax), end: $0.range.upperBound) },
        positions: partitions.map(\.range.lowerBound)))
    (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  var outcomes: [Outcome] { state.withLock { $0.outcomes } }

  // MARK: The consumer's side

  var isFull: Bool { state.withLock { $0.waiting.count >= Self.waitingMax } }

  func read(upTo offset: Int64, of range: Int) {
    let read = state.withLock { state in
      state.read += max(0, offset - state.positions[range])
      state.positions[range] = max(state.positions[range], offset)
      return state.read
    }
    progress(.readingLog(offsets: read, of: offsetsInAll))
  }

  /// Nothing more of the bucket will come.
  func close(_ bucket: LogBucket, of range: Int) {
    guard !bucket.offsets.isEmpty else { return }
    let partition = partitions[range]
    var tally = BucketComparison(bucket: bucket, deadLetters: partition.deadLetters).quick(
      rows: partition.rows[bucket.number] ?? OffsetFingerprint(),
      letters: partition.letterFingerprints[bucket.number] ?? OffsetFingerprint())
    tally?.repeatedDeadLetters = partition.letters.within(bucket.offsets).reduce(0) { $0 + $1.count - 1 }
    state.withLock { [tally] state in
      if let tally {
        state.outcomes[range].tally = state.outcomes[range].tally + tally
      } else {
        state.waiting.append(Waiting(range: range, bucket: bucket))
      }
    }
    if tally == nil { signal.yield() }
  }

  func end(_ range: Int, at offset: Int64) { state.withLock { $0.outcomes[range].end = offset } }

  /// No further bucket will come.
  func endReading() { signal.finish() }

  // MARK: The table's side

  /// Looks at what waits until nothing will come any more.
  func settle() async throws(ClickHouseError) {
    try await settleWaiting()
    for await _ in signals { try await settleWaiting() }
    try await settleWaiting()
  }

  private func settleWaiting() async throws(ClickHouseError) {
    while !Task.isCancelled {
      let taken = state.withLock { state in takeSome(&state) }
      guard let first = taken.first else { return }
      let partition = partitions[first.range]
      let stretches = taken.map { (partition: partitions[$0.range].partition.partition, offsets: $0.bucket.offsets) }
      let rows = try await partition.countRows(stretches)
      let letters = try await partition.countLetters?(stretches) ?? [:]
      for item in taken { settle(item, rows, letters) }
    }
  }

  /// Some of one topic, which one question can be about.
  private func takeSome(_ state: inout State) -> [Waiting] {
    guard let topic = state.waiting.first.map({ partitions[$0.range].partition.topic }) else { return [] }
    var taken: [Waiting] = []
    state.waiting.removeAll { item in
      guard taken.count < Self.askedAtOnce, partitions[item.range].partition.topic == topic else { return false }
      taken.append(item)
      return true
    }
    return taken
  }

  private func settle(_ item: Waiting, _ rows: [Int32: [OffsetCount]], _ letters: [Int32: [OffsetCount]]) {
    let partition = partitions[item.range]
    let number = partition.partition.partition
    let (bucket, offsets) = (item.bucket, item.bucket.offsets)
    let comparison = BucketComparison(bucket: bucket, deadLetters: partition.deadLetters)
    let own = (letters[number] ?? partition.letters).within(offsets)
    let there = (rows[number] ?? []).within(offsets)
    state.withLock { state in
      var outcome = state.outcomes[item.range]
      // Between two buckets that were looked at closely lies one where all is well.
      if outcome.lastExact != bucket.number - 1 { outcome.findings.interrupt() }
      outcome.lastExact = bucket.number
      comparison.exact(rows: there, letters: own, into: &outcome.tally, &outcome.findings)
      state.outcomes[item.range] = outcome
    }
  }
}

extension [OffsetCount] {
  /// Those of a range; ascending, as all of them are.
  func within(_ range: Range<Int64>) -> [OffsetCount] {
    let start = firstIndex(notBelow: range.lowerBound)
    return Array(self[start..<Swift.max(start, firstIndex(notBelow: range.upperBound))])
  }

  private func firstIndex(notBelow offset: Int64) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle].offset < offset { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
