internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// What ended a run from the inside, carried to the task that started it.
final class RunFailure: Sendable {
  private let error = Mutex<(any Error)?>(nil)

  /// The first one counts.
  func fail(_ failure: any Error) { error.withLock { $0 = $0 ?? failure } }
  func rethrow() throws { if let error = error.withLock({ $0 }) { throw error } }
}

/// Behind `KafkaConsumer.forEachBatch`: what `body` has returned from is committed every so often, before partitions are
/// given back, and at the end.
struct BatchHandler: ConsumerHandler, Sendable {
  private static let answerTimeout = Duration.seconds(5)
  private static let retryDelay = Duration.milliseconds(200)

  let commitInterval: Duration?
  let failure: RunFailure
  let body: @Sendable (borrowing RecordBatch) throws -> Void
  private var member: SimpleMember
  /// Per partition the offset after the last record that `body` took, where it is not committed yet.
  private var done: [TopicPartition: Int64] = [:]
  private var topics: [UInt: String] = [:]
  private var lastCommit: MonotonicInstant?
  private var pending: CommitID?
  private var leaving: [TopicPartition] = []
  /// `body` has thrown: it gets nothing more.
  private var hasThrown = false
  private var isStopping = false
  /// Until when the last commit before an end is tried, and when it is tried again; nil: nothing ends.
  private var end: MonotonicInstant?
  private var nextTry: MonotonicInstant?

  init(
    commitInterval: Duration?, failure: RunFailure, logger: Logger,
    body: @escaping @Sendable (borrowing RecordBatch) throws -> Void
  ) {
    self.commitInterval = commitInterval
    self.failure = failure
    self.body = body
    member = SimpleMember(logger)
  }

  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    guard !hasThrown, !isStopping else { return }
    do {
      try body(batch)
    } catch {
      hasThrown = true
      return fail(error, control)
    }
    var last = batch[0]
    for index in 1..<max(1, batch.count) {
      let record = batch[index]
      if record.topicHandle != last.topicHandle || record.partition != last.partition { note(last) }
      last = record
    }
    note(last)
  }

  private mutating func note(_ record: borrowing RecordView) {
    let topic = topics[record.topicHandle] ?? record.topic
    topics[record.topicHandle] = topic
    done[TopicPartition(topic, record.partition)] = record.offset + 1
  }

  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    do throws(KafkaError) { _ = try member.assigned(partitions, control) } catch { fail(error, control) }
  }

  private func fail(_ error: any Error, _ control: borrowing ConsumerControl) {
    failure.fail(error)
    control.stop()
  }

  func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {
    if let error = member.reasonToEnd(event) { fail(error, control) }
  }

  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    try? control.pause(partitions)
    member.ended(partitions)
    leaving += partitions
    // The end of all has the later deadline, and waits for the same commit.
    settle(control, isStopping ? end ?? deadline : deadline)
  }

  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    member.ended(partitions)
    for partition in partitions { done[partition] = nil }
    leaving.removeAll { partitions.contains($0) }
    if leaving.isEmpty, !isStopping { (end, nextTry) = (nil, nil) }
  }

  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    guard commit == pending else { return }
    pending = nil
    switch result {
    case .known(let offsets):
      for offset in offsets where done[offset.partition] == offset.offset { done[offset.partition] = nil }
    // Repeated with the next commit, over newer offsets: at least once is all that is promised. The last one before an
    // end has no next: a coordinator that has just come back refuses a few.
    case .refused(let error, _), .unknown(let error):
      guard let end else { return }
      if error.isRetriable, control.now + Self.retryDelay < end {
        nextTry = control.now + Self.retryDelay
        return
      }
      if isStopping { failure.fail(error) }
    }
    if end != nil { finish(control) }
  }

  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    do throws(KafkaError) { _ = try member.retry(now, control) } catch { fail(error, control) }
    if let nextTry, let end {
      guard nextTry <= now else { return nextTry }
      settle(control, end)
      return nil
    }
    guard let commitInterval else { return nil }
    let due = (lastCommit ?? now) + commitInterval
    if lastCommit == nil { lastCommit = now }
    guard due <= now, pending == nil, !done.isEmpty else { return max(due, now + .milliseconds(100)) }
    send(control, now + Self.answerTimeout)
    return now + commitInterval
  }

  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) {
    isStopping = true
    try? control.pause(control.assignment)
    settle(control, deadline)
  }

  /// The last commit before something ends.
  private mutating func settle(_ control: borrowing ConsumerControl, _ deadline: MonotonicInstant) {
    end = deadline
    nextTry = nil
    guard commitInterval != nil, !done.isEmpty else { return finish(control) }
    send(control, deadline)
  }

  private mutating func send(_ control: borrowing ConsumerControl, _ deadline: MonotonicInstant) {
    lastCommit = control.now
    pending = control.commit(done.map { CommittedOffset($0.key, offset: $0.value) }, deadline: deadline)
  }

  private mutating func finish(_ control: borrowing ConsumerControl) {
    if !leaving.isEmpty {
      for partition in leaving { done[partition] = nil }
      try? control.unassign(leaving)
      leaving = []
    }
    (end, nextTry) = (nil, nil)
    if isStopping { control.finish() }
  }
}
