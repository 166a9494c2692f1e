internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Reads single records again by their offsets: a block holds columns, but a dead letter is the record as it was.
///
/// It has a consumer of its own, without a group's assignment, one partition at a time; refused rows that come together
/// are read together. Rows wait here in memory as (partition, offset): a bisected block adds them one by one.
final class RecordReader: Sendable {
  private struct State {
    var waiting: [(TopicPartition, RefusedRow)] = []
    var isReading = false
    var isClosed = false
  }

  private let configuration: KafkaConsumerConfiguration
  private let events: Mailbox<PipelineEvent>
  private let logger: Logger
  private let retry: RetryPolicy
  private let state = Mutex(State())

  init(
    configuration: KafkaConsumerConfiguration, events: Mailbox<PipelineEvent>, retry: RetryPolicy, logger: Logger
  ) {
    var configuration = configuration
    // Never a member of the group: an instance id twice would fence the pipeline itself.
    configuration.instanceID = nil
    configuration.group += "-dead-letters"
    configuration.statisticsInterval = nil
    configuration.queuedMaxKilobytes = 1024
    configuration.queuedMinMessages = 1
    self.configuration = configuration
    self.events = events
    self.retry = retry
    self.logger = logger
  }

  /// The answer comes as `PipelineEvent.recordRead`.
  func read(_ partition: TopicPartition, _ row: RefusedRow) {
    let starts = state.withLock { state in
      state.waiting.append((partition, row))
      guard !state.isReading, !state.isClosed else { return false }
      state.isReading = true
      return true
    }
    if starts { Task.detached { await self.serve() } }
  }

  /// What has not been read by now stays unaccounted, and is read again by the next run.
  func close() {
    state.withLock { state in
      state.isClosed = true
      state.waiting = []
    }
  }

  private func serve() async {
    var attempt = 0
    while let (partition, rows) = takeNext() {
      do {
        let found = try await read(partition, rows.map(\.offset))
        for row in rows { events.post(.recordRead(row, found[row.offset])) }
        attempt = 0
      } catch {
        attempt += 1
        logger.warning(
          "refused rows could not be read again from Kafka; trying again",
          ["partition": partition.description, "rows": "\(rows.count)", "error": "\(error)"])
        state.withLock { $0.waiting += rows.map { (partition, $0) } }
        try? await Task.sleep(for: retry.delay(afterAttempt: attempt, random: .random(in: 0..<1)))
      }
    }
  }

  private func takeNext() -> (TopicPartition, [RefusedRow])? {
    state.withLock { state in
      guard !state.isClosed, let partition = state.waiting.first?.0 else {
        state.isReading = false
        return nil
      }
      let rows = state.waiting.filter { $0.0 == partition }.map(\.1)
      state.waiting.removeAll { $0.0 == partition }
      return (partition, rows)
    }
  }

  private func read(_ partition: TopicPartition, _ offsets: [Int64]) async throws -> [Int64: Record] {
    let result = Mutex<Result<[Int64: Record], KafkaError>>(.success([:]))
    let sorted = offsets.sorted()
    guard let first = sorted.first, let last = sorted.last else { return [:] }
    let picker = RecordPicker(partition: partition, wanted: Set(offsets), last: last) { answer in
      result.withLock { $0 = answer }
    }
    let consumer = try KafkaConsumer(configuration)
    try await consumer.run(.assignment([(partition: partition, start: .offset(first))]), picker)
    return try result.withLock { try $0.get() }
  }
}

/// Takes the wanted records out of what it reads, and ends at the last of them, at the partition's end or at a deadline.
private struct RecordPicker: ~Copyable, ConsumerHandler {
  let partition: TopicPartition
  let wanted: Set<Int64>
  let last: Int64
  let answer: @Sendable (Result<[Int64: Record], KafkaError>) -> Void
  var found: [Int64: Record] = [:]
  var deadline: MonotonicInstant?

  init(
    partition: TopicPartition, wanted: Set<Int64>, last: Int64,
    answer: @escaping @Sendable (Result<[Int64: Record], KafkaError>) -> Void
  ) {
    self.partition = partition
    self.wanted = wanted
    self.last = last
    self.answer = answer
  }

  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    for index in 0..<batch.count where wanted.contains(batch[index].offset) {
      found[batch[index].offset] = batch[index].copy()
    }
    if batch.count > 0, batch[batch.count - 1].offset >= last { finish(control) }
  }

  mutating func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {
    switch event {
    case .partitionEnd: finish(control)
    case .offsetOutOfRange: skipToLog(control)
    case .fatal(let error): fail(error, control)
    case .error, .statistics, .fenced: break
    }
  }

  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    guard let deadline else {
      deadline = now + .seconds(30)
      return deadline
    }
    if now >= deadline {
      fail(
        KafkaError(code: .timedOut, message: "reading \(partition) again took more than 30 s", isRetriable: true),
        control)
    }
    return deadline
  }

  /// Retention has taken the first of the wanted records; later ones may be there still.
  private func skipToLog(_ control: borrowing ConsumerControl) {
    do throws(KafkaError) {
      let low = try control.watermarks(partition, timeout: .seconds(5)).low
      guard low <= last else { return finish(control) }
      try control.unassign([partition])
      try control.assign([(partition, offset: low)])
    } catch {
      fail(error, control)
    }
  }

  private func finish(_ control: borrowing ConsumerControl) {
    answer(.success(found))
    control.stop()
  }

  private func fail(_ error: KafkaError, _ control: borrowing ConsumerControl) {
    answer(.failure(error))
    control.stop()
  }

  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {}
  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {}
  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}
