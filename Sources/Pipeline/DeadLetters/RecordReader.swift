internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Reads single records again by their offsets: a block holds columns, but a dead letter is the record as it was.
///
/// It has a consumer of its own, without a group's assignment, one partition at a time; refused rows that come together
/// are read together. Rows wait here as (partition, offset), which a bisected block adds one by one; records are read
/// only while the memory budget has room for them.
final class RecordReader: Sendable {
  /// What became of one refused row.
  enum Answer: Sendable {
    case found(Record)
    /// The log no longer holds it.
    case gone
    /// Kafka could not be read: to be asked for again, where the partition is still ours.
    case failed
  }

  private static let chunkRows = 256

  private let configuration: KafkaConsumerConfiguration
  private let events: Mailbox<PipelineEvent>
  private let retry: RetryPolicy
  private let meter: MemoryMeter
  private let limitBytes: Int
  private let logger: Logger
  private let rows = ErrandQueue<(TopicPartition, RefusedRow)>()

  init(
    configuration: KafkaConsumerConfiguration, events: Mailbox<PipelineEvent>, retry: RetryPolicy, meter: MemoryMeter,
    limitBytes: Int, logger: Logger
  ) {
    var configuration = configuration
    // Never a member of the group: an instance id twice would fence the pipeline itself.
    configuration.instanceID = nil
    configuration.group += "-dead-letters"
    configuration.statisticsInterval = nil
    configuration.queuedMaxKilobytes = 1024
    configuration.queuedMinMessages = 1
    configuration.shutdownDeadline = .zero
    self.configuration = configuration
    self.events = events
    self.retry = retry
    self.meter = meter
    self.limitBytes = limitBytes
    self.logger = logger
  }

  /// The answer comes as `PipelineEvent.recordRead`.
  func read(_ partition: TopicPartition, _ row: RefusedRow) {
    rows.add((partition, row)) { await self.serve() }
  }

  /// Ends what is under way. What has not been read by now stays unaccounted, and is read again by the next run.
  func close() async { await rows.close() }

  private func serve() async {
    var failures = 0
    while let (partition, rows) = await takeNext() {
      let picked = await read(partition, rows.map(\.offset))
      for row in rows { events.post(.recordRead(row, picked.answer(row.offset))) }
      guard let failure = picked.failure, !Task.isCancelled else {
        failures = 0
        continue
      }
      failures = picked.isProgress ? 1 : failures + 1
      logger.warning(
        "refused rows could not be read again from Kafka; trying again",
        ["partition": partition.description, "rows": "\(rows.count)", "error": failure.message])
      try? await Task.sleep(for: retry.delay(afterAttempt: failures, random: .random(in: 0..<1)))
    }
  }

  private func takeNext() async -> (TopicPartition, [RefusedRow])? {
    // Every record that is read goes on as a dead letter, which counts.
    while meter.bytes >= limitBytes, !Task.isCancelled { try? await Task.sleep(for: .milliseconds(100)) }
    return rows.take { waiting in
      let partition = waiting[0].0
      let rows = waiting.lazy.filter { $0.0 == partition }.map(\.1).sorted { $0.offset < $1.offset }
      let taken = Array(rows.prefix(Self.chunkRows))
      let last = taken[taken.count - 1].offset
      waiting.removeAll { $0.0 == partition && $0.1.offset <= last }
      return (partition, taken)
    }
  }

  /// - Parameter offsets: ascending, at least one.
  private func read(_ partition: TopicPartition, _ offsets: [Int64]) async -> PickedRecords {
    let outcome = Mutex(PickedRecords())
    let picker = RecordPicker(partition: partition, wanted: offsets) { picked in outcome.withLock { $0 = picked } }
    do {
      let consumer = try KafkaConsumer(configuration)
      try await consumer.run(.assignment([(partition: partition, start: .offset(offsets[0]))]), picker)
    } catch {
      outcome.withLock { picked in
        if picked.failure == nil, picked.through < offsets[offsets.count - 1] {
          picked.failure = error as? KafkaError ?? KafkaError(code: .library, message: "\(error)")
        }
      }
    }
    return outcome.withLock { $0 }
  }
}

/// What one reading has brought.
struct PickedRecords: Sendable {
  var found: [Int64: Record] = [:]
  /// Every wanted offset up to here is found, or is not in the log.
  var through: Int64 = -1
  /// Why it did not get to the last one.
  var failure: KafkaError?

  var isProgress: Bool { through >= 0 }

  func answer(_ offset: Int64) -> RecordReader.Answer {
    if let record = found[offset] { return .found(record) }
    return offset <= through ? .gone : .failed
  }
}

/// Takes the wanted records out of what it reads, and ends at the last of them, at the partition's end, when it has taken
/// enough, or when nothing comes any more.
struct RecordPicker: ~Copyable, ConsumerHandler {
  private static let enoughBytes = 4 << 20
  /// Where the next wanted record is further away than this, what lies between is not read.
  private static let gapMax: Int64 = 10_000
  private static let patience = Duration.seconds(30)

  private let partition: TopicPartition
  private let wanted: [Int64]
  private let answer: @Sendable (PickedRecords) -> Void
  private var next = 0
  private var bytes = 0
  private var picked = PickedRecords()
  private var deadline: MonotonicInstant?

  /// - Parameter wanted: ascending.
  init(partition: TopicPartition, wanted: [Int64], answer: @escaping @Sendable (PickedRecords) -> Void) {
    self.partition = partition
    self.wanted = wanted
    self.answer = answer
  }

  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    deadline = control.now + Self.patience
    let (partition, first) = (partition, wanted[0])
    attempt(control) { (control) throws(KafkaError) in try control.assign([(partition, offset: first)]) }
  }

  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    deadline = control.now + Self.patience
    for index in 0..<batch.count {
      let record = batch[index]
      while next < wanted.count, wanted[next] < record.offset { next += 1 }
      guard next < wanted.count, bytes < Self.enoughBytes else { break }
      if wanted[next] == record.offset {
        let copy = record.copy()
        bytes += copy.value?.count ?? 0
        picked.found[record.offset] = copy
        next += 1
      }
      picked.through = max(picked.through, record.offset)
    }
    guard next < wanted.count, bytes < Self.enoughBytes else { return finish(control) }
    let (partition, target) = (partition, wanted[next])
    if target - picked.through > Self.gapMax {
      attempt(control) { (control) throws(KafkaError) in try control.seek(partition, to: target) }
    }
  }

  mutating func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {
    switch event {
    case .partitionEnd(_, let offset):
      picked.through = max(picked.through, offset - 1)
      finish(control)
    case .offsetOutOfRange: skipToLog(control)
    case .fatal(let error), .fenced(let error): fail(error, control)
    case .error(let error, let place): if place != nil { fail(error, control) }
    case .statistics: break
    }
  }

  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    if let deadline, now >= deadline {
      let words = "nothing came from \(partition) for \(Self.patience)"
      fail(KafkaError(code: .timedOut, message: words, isRetriable: true), control)
    }
    return deadline
  }

  /// Retention has taken the first of the wanted records; later ones may be there still.
  private mutating func skipToLog(_ control: borrowing ConsumerControl) {
    do throws(KafkaError) {
      let low = try control.watermarks(partition, timeout: .seconds(5)).low
      picked.through = max(picked.through, low - 1)
      guard let first = wanted.first(where: { $0 >= low }) else { return finish(control) }
      try control.seek(partition, to: first)
    } catch {
      fail(error, control)
    }
  }

  private mutating func attempt(
    _ control: borrowing ConsumerControl, _ body: (borrowing ConsumerControl) throws(KafkaError) -> Void
  ) {
    do throws(KafkaError) { try body(control) } catch { fail(error, control) }
  }

  private mutating func finish(_ control: borrowing ConsumerControl) {
    answer(picked)
    control.stop()
  }

  private mutating func fail(_ error: KafkaError, _ control: borrowing ConsumerControl) {
    if picked.failure == nil { picked.failure = error }
    finish(control)
  }

  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {}
  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {}
  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}
