internal import KafkaClient
internal import SinkThreads
internal import Synchronization

/// What looks at the records of ranges of offsets, on the consumer's thread.
protocol RangeVisitor: ~Copyable {
  /// Records of one range, ascending.
  mutating func visit(_ batch: borrowing RecordBatch, _ indices: Range<Int>, of range: Int)
  /// What was not visited of the range below this offset, no reader gets.
  mutating func passed(_ offset: Int64, of range: Int)
  /// Nothing more of the range will come: it, or the log, ends at this offset.
  mutating func ended(_ offset: Int64, of range: Int)
  /// Whether reading must wait.
  var isFull: Bool { get }
}

/// A range of offsets of one partition.
struct LogRange: Sendable {
  let partition: TopicPartition
  let offsets: Range<Int64>
}

/// Reads ranges of partitions from beginning to end, all at once, without a group's assignment, and ends.
struct RangeReader<Visitor: RangeVisitor & ~Copyable & Sendable>: ~Copyable, ConsumerHandler {
  private struct Key: Hashable {
    let topicHandle: UInt
    let partition: Int32
  }

  private let ranges: [LogRange]
  private let failure: RangeFailure
  private let patience: Duration
  private var visitor: Visitor
  private var isOver: [Bool]
  private var left: Int
  private var indices: [Key: Int] = [:]
  private var isPaused = false
  private var deadline: MonotonicInstant?
  private var lastWords = ""

  /// Reads them all.
  /// - Parameters:
  ///   - ranges: none of them empty.
  ///   - patience: how long nothing may come.
  static func read(
    _ ranges: [LogRange], _ configuration: KafkaConsumerConfiguration, patience: Duration, _ visitor: consuming Visitor
  ) async throws(KafkaError) {
    guard !ranges.isEmpty else { return }
    var configuration = configuration
    // A reader only: as a member under the same instance id it would fence the pipeline itself.
    configuration.instanceID = nil
    configuration.statisticsInterval = nil
    configuration.shutdownDeadline = .zero
    let failure = RangeFailure()
    do {
      try await KafkaConsumer(configuration).run(
        .assignment(ranges.map { (partition: $0.partition, start: .offset($0.offsets.lowerBound)) }),
        RangeReader(ranges, failure, patience, visitor))
    } catch {
      failure.fail(error as? KafkaError ?? KafkaError(code: .library, message: "\(error)"))
    }
    if let error = failure.error { throw error }
  }

  private init(_ ranges: [LogRange], _ failure: RangeFailure, _ patience: Duration, _ visitor: consuming Visitor) {
    self.ranges = ranges
    self.failure = failure
    self.patience = patience
    self.visitor = visitor
    isOver = Array(repeating: false, count: ranges.count)
    left = ranges.count
  }

  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    deadline = control.now + patience
    let starts = ranges.map { ($0.partition, offset: $0.offsets.lowerBound) }
    attempt(control) { (control) throws(KafkaError) in try control.assign(starts) }
  }

  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    deadline = control.now + patience
    var start = 0
    while start < batch.count {
      let (handle, number) = (batch[start].topicHandle, batch[start].partition)
      guard let range = index(handle, number, batch[start]) else {
        start += 1
        continue
      }
      let end = ranges[range].offsets.upperBound
      var next = start
      while next < batch.count, batch[next].partition == number, batch[next].topicHandle == handle,
        batch[next].offset < end
      {
        next += 1
      }
      if next > start, !isOver[range] { visitor.visit(batch, start..<next, of: range) }
      let isBeyond = next < batch.count && batch[next].partition == number && batch[next].topicHandle == handle
      if isBeyond || (next > start && batch[next - 1].offset + 1 == end) { finish(range, at: end, control) }
      start = isBeyond ? next + 1 : next
    }
  }

  private mutating func index(_ handle: UInt, _ number: Int32, _ record: borrowing RecordView) -> Int? {
    let key = Key(topicHandle: handle, partition: number)
    if let known = indices[key] { return known }
    let partition = record.topicPartition
    let found = ranges.firstIndex { $0.partition == partition }
    indices[key] = found
    return found
  }

  mutating func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {
    switch event {
    case .partitionEnd(let partition, let offset):
      guard let range = ranges.firstIndex(where: { $0.partition == partition }) else { return }
      finish(range, at: min(offset, ranges[range].offsets.upperBound), control)
    case .offsetOutOfRange(let partition, _): skipToLog(partition, control)
    case .fatal(let error), .fenced(let error): fail(error, control)
    case .error(let error, let partition):
      lastWords = ": \(error.message)"
      if partition != nil || error.code == .authentication || error.code == .authorization { fail(error, control) }
    case .statistics: break
    }
  }

  /// Retention has been faster than we are.
  private mutating func skipToLog(_ partition: TopicPartition, _ control: borrowing ConsumerControl) {
    guard let range = ranges.firstIndex(where: { $0.partition == partition }), !isOver[range] else { return }
    do throws(KafkaError) {
      let low = try control.watermarks(partition, timeout: .seconds(10)).low
      guard low < ranges[range].offsets.upperBound else {
        return finish(range, at: ranges[range].offsets.upperBound, control)
      }
      visitor.passed(low, of: range)
      try control.seek(partition, to: low)
    } catch {
      fail(error, control)
    }
  }

  private mutating func finish(_ range: Int, at offset: Int64, _ control: borrowing ConsumerControl) {
    guard !isOver[range] else { return }
    isOver[range] = true
    visitor.ended(offset, of: range)
    left -= 1
    guard left > 0 else { return control.stop() }
    // The rest of the partition is not ours to look at.
    try? control.pause([ranges[range].partition])
  }

  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    guard left > 0 else { return nil }
    if visitor.isFull != isPaused {
      isPaused.toggle()
      let running = ranges.indices.filter { !isOver[$0] }.map { ranges[$0].partition }
      let isPaused = isPaused
      attempt(control) { (control) throws(KafkaError) in
        if isPaused { try control.pause(running) } else { try control.resume(running) }
      }
    }
    if isPaused { deadline = now + patience }
    if let deadline, now >= deadline {
      let names = ranges.indices.filter { !isOver[$0] }.prefix(3).map { "\(ranges[$0].partition)" }
      let words = "nothing came from \(names.joined(separator: ", ")) for \(patience)\(lastWords)"
      fail(KafkaError(code: .timedOut, message: words, isRetriable: true), control)
    }
    return isPaused ? now + .milliseconds(20) : deadline
  }

  private mutating func attempt(
    _ control: borrowing ConsumerControl, _ body: (borrowing ConsumerControl) throws(KafkaError) -> Void
  ) {
    do throws(KafkaError) { try body(control) } catch { fail(error, control) }
  }

  private mutating func fail(_ error: KafkaError, _ control: borrowing ConsumerControl) {
    failure.fail(error)
    left = 0
    control.stop()
  }

  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {}
  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {}
  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}

/// Why a reading ended early; the first reason counts.
final class RangeFailure: Sendable {
  private let state = Mutex<KafkaError?>(nil)

  var error: KafkaError? { state.withLock { $0 } }
  func fail(_ error: KafkaError) { state.withLock { $0 = $0 ?? error } }
}
