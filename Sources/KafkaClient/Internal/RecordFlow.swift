internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Between the consumer's thread and the one reader of `KafkaRecords`: a bounded buffer, and commits the other way.
final class RecordFlow: Sendable {
  typealias CommitRequest = (offsets: [CommittedOffset], timeout: Duration, answer: OneShot<CommitResult>)

  private struct State {
    var records: [Record] = []
    var bytes = 0
    var reader: CheckedContinuation<[Record], any Error>?
    var commits: [CommitRequest] = []
    var run: Task<Void, Never>?
    /// Somebody iterates, or has.
    var isTaken = false
    var isEnded = false
    var failure: (any Error)?
  }

  private let consumer: KafkaConsumer
  private let subscription: KafkaSubscription
  let bufferBytes: Int
  private let state = Mutex(State())

  var logger: Logger { consumer.configuration.logger }

  init(_ consumer: KafkaConsumer, _ subscription: KafkaSubscription, bufferBytes: Int) {
    self.consumer = consumer
    self.subscription = subscription
    self.bufferBytes = bufferBytes
  }

  // MARK: The reader's side

  /// - Returns: whether the caller is the one reader.
  func take() -> Bool {
    state.withLock { state in
      defer { state.isTaken = true }
      return !state.isTaken
    }
  }

  /// Everything that is buffered, waiting for the first record; empty at the end.
  func nextChunk() async throws -> [Record] {
    startIfNeeded()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let ready: Result<[Record], any Error>? = state.withLock { state in
          if !state.records.isEmpty {
            let taken = state.records
            state.records = []
            state.bytes = 0
            return .success(taken)
          }
          if let failure = state.failure { return .failure(failure) }
          if state.isEnded { return .success([]) }
          precondition(state.reader == nil, "an iterator is no Sendable")
          state.reader = continuation
          return nil
        }
        guard let ready else { return }
        continuation.resume(with: ready)
        // The handler resumes paused partitions at its next tick.
        consumer.wake()
      }
    } onCancel: {
      stop()
    }
  }

  func commit(_ offsets: [CommittedOffset], within timeout: Duration) async -> CommitResult {
    let answer = OneShot<CommitResult>()
    post((offsets, timeout, answer))
    return await answer.value
  }

  func commitLater(_ offsets: [CommittedOffset]) {
    let answer = OneShot<CommitResult>()
    post((offsets, .seconds(5), answer))
    let logger = logger
    Task {
      switch await answer.value {
      case .known: break
      case .refused(let error, _), .unknown(let error):
        logger.warning("a commit that nobody waits for failed", ["error": error.message])
      }
    }
  }

  func stop() { state.withLock { $0.run }?.cancel() }

  func close() async {
    let run = state.withLock { $0.run }
    run?.cancel()
    await run?.value
  }

  private func post(_ request: CommitRequest) {
    let isOpen = state.withLock { state in
      guard !state.isEnded, state.run != nil else { return false }
      state.commits.append(request)
      return true
    }
    guard isOpen else {
      return request.answer.resolve(.refused(.state("commit: nothing is being read"), request.offsets))
    }
    consumer.wake()
  }

  private func startIfNeeded() {
    state.withLock { state in
      guard state.run == nil else { return }
      let (consumer, subscription) = (self.consumer, self.subscription)
      state.run = Task {
        let failure = RunFailure()
        do {
          try await consumer.run(subscription, RecordFlowHandler(self, failure))
          try failure.rethrow()
          self.end(nil)
        } catch {
          self.end(error)
        }
      }
    }
  }

  private func end(_ error: (any Error)?) {
    let (reader, left, commits) = state.withLock { state in
      state.isEnded = true
      state.failure = error
      defer {
        state.reader = nil
        state.commits = []
      }
      return (state.reader, state.records, state.commits)
    }
    precondition(reader == nil || left.isEmpty, "a reader waits only for an empty buffer")
    if let error { reader?.resume(throwing: error) } else { reader?.resume(returning: []) }
    for commit in commits { commit.answer.resolve(.refused(.state("commit: reading has ended"), commit.offsets)) }
  }

  // MARK: The consumer's side

  /// - Returns: whether the buffer is over its bound.
  func append(_ batch: borrowing RecordBatch) -> Bool {
    var fresh: [Record] = []
    var bytes = 0
    fresh.reserveCapacity(batch.count)
    for index in 0..<batch.count {
      let record = batch[index].copy()
      bytes += record.memoryBytes
      fresh.append(record)
    }
    let (reader, isOver) = state.withLock { state in
      if let reader = state.reader {
        state.reader = nil
        return (reader as CheckedContinuation<[Record], any Error>?, false)
      }
      state.records += fresh
      state.bytes += bytes
      return (nil, state.bytes >= bufferBytes)
    }
    reader?.resume(returning: fresh)
    return isOver
  }

  func forget(_ partitions: Set<TopicPartition>) {
    state.withLock { state in
      state.records.removeAll { partitions.contains($0.topicPartition) }
      state.bytes = state.records.reduce(0) { $0 + $1.memoryBytes }
    }
  }

  var bufferedBytes: Int { state.withLock { $0.bytes } }

  func takeCommits() -> [CommitRequest] {
    state.withLock { state in
      guard !state.commits.isEmpty else { return [] }
      let taken = state.commits
      state.commits = []
      return taken
    }
  }
}

extension Record {
  /// What it holds on to, roughly: its bytes and what Swift needs for each array.
  fileprivate var memoryBytes: Int {
    (key?.count ?? 0) + (value?.count ?? 0)
      + headers.reduce(0) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) + 96 }
      + 192
  }
}

/// Fills a `RecordFlow`: over its bound everything pauses, below half of it everything resumes.
struct RecordFlowHandler: ConsumerHandler, Sendable {
  private let flow: RecordFlow
  private let failure: RunFailure
  private var member: SimpleMember
  private var isPaused = false
  private var waiting: [CommitID: OneShot<CommitResult>] = [:]
  private var leaving: [TopicPartition] = []
  private var isStopping = false

  init(_ flow: RecordFlow, _ failure: RunFailure) {
    self.flow = flow
    self.failure = failure
    member = SimpleMember(flow.logger)
  }

  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    guard flow.append(batch), !isPaused else { return }
    isPaused = true
    do throws(KafkaError) { try control.pause(control.assignment) } catch { fail(error, control) }
  }

  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    do throws(KafkaError) {
      try begun(member.assigned(partitions, control), control)
    } catch {
      fail(error, control)
    }
  }

  private func begun(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) throws(KafkaError) {
    if isPaused { try control.pause(partitions) }
  }

  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    leave(partitions)
    leaving += partitions
    do throws(KafkaError) { try control.pause(partitions) } catch { fail(error, control) }
    settle(control)
  }

  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    leave(partitions)
    leaving.removeAll { partitions.contains($0) }
  }

  /// Another member reads from where we committed: what waits here would be read twice.
  private mutating func leave(_ partitions: [TopicPartition]) {
    member.ended(partitions)
    flow.forget(Set(partitions))
  }

  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    waiting.removeValue(forKey: commit)?.resolve(result)
    settle(control)
  }

  func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {
    if let error = member.reasonToEnd(event) { fail(error, control) }
  }

  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    issueCommits(control)
    do throws(KafkaError) {
      try begun(member.retry(now, control), control)
      guard isPaused, flow.bufferedBytes <= flow.bufferBytes / 2 else { return nil }
      isPaused = false
      try control.resume(control.assignment)
    } catch {
      fail(error, control)
    }
    return nil
  }

  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) {
    // Those that were asked for before the end are not to be lost with it.
    issueCommits(control)
    isStopping = true
    settle(control)
  }

  private mutating func issueCommits(_ control: borrowing ConsumerControl) {
    for request in flow.takeCommits() {
      waiting[control.commit(request.offsets, deadline: control.now + request.timeout)] = request.answer
    }
  }

  /// Commits that are under way are waited for before partitions, or the run, end.
  private mutating func settle(_ control: borrowing ConsumerControl) {
    guard waiting.isEmpty else { return }
    if !leaving.isEmpty {
      let leaving = leaving
      self.leaving = []
      do throws(KafkaError) { try control.unassign(leaving) } catch { fail(error, control) }
    }
    if isStopping { control.finish() }
  }

  private func fail(_ error: KafkaError, _ control: borrowing ConsumerControl) {
    failure.fail(error)
    control.stop()
  }
}
