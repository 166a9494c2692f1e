internal import SinkThreads

/// Decides when a commit goes out and what is certain about it afterwards. A value: no thread, no clock, no socket.
///
/// One request is out at a time, so that the OffsetCommit requests counted between its issue and its answer are its own.
/// An outcome is `known` only when exactly one request went out and the answer was good, in time, under the same
/// generation and assignment epoch: librdkafka repeats a request silently and reports success, and the late first copy can
/// land after a newer commit and set the offset back.
struct CommitStateMachine {
  struct Request {
    let number: UInt64
    let offsets: [CommittedOffset]
    let deadline: MonotonicInstant
  }

  /// What the world looked like at one moment.
  struct Situation: Equatable {
    /// OffsetCommit requests that this handle has sent so far.
    let requestsSent: UInt64
    let generation: Int32
    let epoch: UInt64
  }

  typealias Outcome = (number: UInt64, result: CommitResult)

  private struct Outstanding {
    let request: Request
    let issued: Situation
    /// Its deadline has passed and `unknown` was said; the slot stays taken until librdkafka answers.
    var isReported = false
  }

  private var queue: [Request] = []
  private var outstanding: Outstanding?

  /// Until when somebody must look at the clock.
  var nextDeadline: MonotonicInstant? {
    let waiting = queue.map(\.deadline).min()
    guard let outstanding, !outstanding.isReported else { return waiting }
    return min(waiting ?? outstanding.request.deadline, outstanding.request.deadline)
  }

  mutating func enqueue(_ request: Request) { queue.append(request) }

  /// The request to issue now, if one may go out.
  mutating func next(isJoining: Bool, _ situation: @autoclosure () -> Situation) -> Request? {
    guard outstanding == nil, !isJoining, !queue.isEmpty else { return nil }
    let request = queue.removeFirst()
    outstanding = Outstanding(request: request, issued: situation())
    return request
  }

  /// The call that should have issued it was refused: nothing went out.
  mutating func failedToIssue(_ error: KafkaError) -> Outcome? {
    guard let failed = outstanding else { return nil }
    outstanding = nil
    return (failed.request.number, .refused(error, failed.request.offsets))
  }

  /// - Returns: nil where the answer is to something that was reported already.
  mutating func answered(
    _ number: UInt64, _ error: KafkaError?, _ offsets: [CommittedOffset], _ situation: Situation
  ) -> Outcome? {
    guard let answered = outstanding, answered.request.number == number else { return nil }
    outstanding = nil
    guard !answered.isReported else { return nil }
    return (number, Self.judge(answered.issued, situation, error, offsets))
  }

  /// What is overdue: `unknown` where it went out, refused where it did not.
  mutating func due(_ now: MonotonicInstant) -> [Outcome] {
    var outcomes: [Outcome] = []
    if let late = outstanding, !late.isReported, late.request.deadline <= now {
      outstanding?.isReported = true
      outcomes.append((late.request.number, .unknown(Self.late)))
    }
    let overdue = queue.filter { $0.deadline <= now }
    queue.removeAll { $0.deadline <= now }
    return outcomes + overdue.map { ($0.number, .refused(Self.neverSent, $0.offsets)) }
  }

  /// Partitions are another's now: what waits with one of them must not go out any more.
  mutating func lost(_ partitions: Set<TopicPartition>) -> [Outcome] {
    let isHit = { (request: Request) in request.offsets.contains { partitions.contains($0.partition) } }
    let hit = queue.filter(isHit)
    queue.removeAll(where: isHit)
    return hit.map { ($0.number, .refused(Self.lostError, $0.offsets)) }
  }

  /// The handle is dropped: what went out may still land.
  mutating func dropAll() -> [Outcome] {
    var outcomes: [Outcome] = []
    if let dropped = outstanding, !dropped.isReported {
      outcomes.append((dropped.request.number, .unknown(Self.droppedError)))
    }
    outcomes += queue.map { ($0.number, .refused(Self.droppedError, $0.offsets)) }
    outstanding = nil
    queue = []
    return outcomes
  }

  private static func judge(
    _ issued: Situation, _ answered: Situation, _ error: KafkaError?, _ offsets: [CommittedOffset]
  ) -> CommitResult {
    let copies = answered.requestsSent &- issued.requestsSent
    guard copies <= 1 else {
      return .unknown(
        error
          ?? KafkaError(
            code: .transport, message: "commit: \(copies) copies of the request went out", isRetriable: true))
    }
    if let error {
      // A broker's refusal of the one copy, or librdkafka's own word about none, is definite; anything else is not.
      return definiteRefusals.contains(error.nativeCode) || copies == 0 ? .refused(error, offsets) : .unknown(error)
    }
    guard copies == 1, issued.generation == answered.generation, issued.epoch == answered.epoch else {
      return .unknown(
        KafkaError(
          code: .staleMember, message: "commit: the group or the assignment changed meanwhile", isRetriable: true))
    }
    return .known(offsets)
  }

  /// Kafka's errors that are said before anything is written. After its log was written to, a coordinator may say
  /// REQUEST_TIMED_OUT (7), COORDINATOR_NOT_AVAILABLE (15) or NOT_COORDINATOR (16), and the offset come back when the
  /// coordinator is loaded again.
  private static let definiteRefusals: Set<Int32> = [
    3,  // UNKNOWN_TOPIC_OR_PARTITION
    12,  // OFFSET_METADATA_TOO_LARGE
    14,  // COORDINATOR_LOAD_IN_PROGRESS
    22,  // ILLEGAL_GENERATION
    24,  // INVALID_GROUP_ID
    25,  // UNKNOWN_MEMBER_ID
    27,  // REBALANCE_IN_PROGRESS
    28,  // INVALID_COMMIT_OFFSET_SIZE
    29,  // TOPIC_AUTHORIZATION_FAILED
    30,  // GROUP_AUTHORIZATION_FAILED
    82,  // FENCED_INSTANCE_ID
  ]

  private static let late = KafkaError(
    code: .timedOut, message: "commit: no answer before its deadline; it may still be written", isRetriable: true)
  private static let neverSent = KafkaError(
    code: .timedOut, message: "commit: not sent before its deadline, another one or a rebalance was under way",
    isRetriable: true)
  private static let lostError = KafkaError(
    code: .assignmentLost, message: "commit: not sent, its partitions were taken from us", isRetriable: true)
  private static let droppedError = KafkaError(
    code: .state, message: "commit: the consumer's handle was dropped", isRetriable: true)
}
