internal import SinkTelemetry
internal import SinkThreads

/// What the two simple ways to consume share: start each partition where the group left off, ask again where a broker
/// does not answer, and know what is no use waiting for.
struct SimpleMember {
  private static let answerTimeout = Duration.seconds(5)
  private static let retryDelay = Duration.seconds(1)
  /// How long brokers may fail to say where to start.
  private static let patience = Duration.seconds(120)

  private var waiting: [TopicPartition] = []
  private var nextTry: MonotonicInstant?
  private var giveUp: MonotonicInstant?
  private var hasStarted = false
  private let logger: Logger

  init(_ logger: Logger) { self.logger = logger }

  /// - Returns: those that are read now.
  mutating func assigned(
    _ partitions: [TopicPartition], _ control: borrowing ConsumerControl
  ) throws(KafkaError) -> [TopicPartition] {
    guard !partitions.isEmpty else { return [] }
    waiting += partitions
    nextTry = control.now
    giveUp = control.now + Self.patience
    return try retry(control.now, control)
  }

  mutating func ended(_ partitions: [TopicPartition]) {
    waiting.removeAll { partitions.contains($0) }
    if waiting.isEmpty { nextTry = nil }
  }

  /// - Returns: those that are read now.
  mutating func retry(
    _ now: MonotonicInstant, _ control: borrowing ConsumerControl
  ) throws(KafkaError) -> [TopicPartition] {
    guard let due = nextTry, due <= now else { return [] }
    do throws(KafkaError) {
      try control.assign(starts(control))
    } catch {
      guard error.isRetriable, let giveUp, now < giveUp else { throw error }
      nextTry = control.now + Self.retryDelay
      return []
    }
    let started = waiting
    waiting = []
    nextTry = nil
    hasStarted = true
    return started
  }

  private func starts(
    _ control: borrowing ConsumerControl
  ) throws(KafkaError) -> [(TopicPartition, offset: Int64)] {
    var starts: [(TopicPartition, offset: Int64)] = []
    for committed in try control.committedOffsets(waiting, timeout: Self.answerTimeout) {
      let partition = committed.partition
      let offset =
        if let known = committed.offset { known } else {
          try control.offsetForStart(partition, timeout: Self.answerTimeout)
        }
      starts.append((partition, offset: offset))
    }
    return starts
  }

  /// A reader that would otherwise stand still in silence: it has no way to seek, and before the first partition comes,
  /// refused credentials are more likely wrong than about to become right. Whatever else is in the way is waited for, and
  /// said: a topic that is not there, brokers that do not answer.
  func reasonToEnd(_ event: ConsumerEvent) -> KafkaError? {
    switch event {
    case .offsetOutOfRange(_, let error): return error
    case .error(let error, _) where !hasStarted && [.authentication, .authorization].contains(error.code): return error
    case .error(let error, _):
      logger.warning("the consumer waits", ["error": error.description])
      return nil
    default: return nil
    }
  }
}
