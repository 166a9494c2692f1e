internal import KafkaClient
internal import SinkThreads
internal import Synchronization

/// Asks for what lies behind the ends of some partitions, and for a commit that no broker can keep: the only questions
/// whose answers show that we may read and commit. Nothing of the group changes.
///
/// Seeing a topic and its offsets takes less than reading it (Describe), and so does seeing the group's offsets. A
/// broker looks at the grants of a commit first and at its partitions next: for a partition that cannot be there it says
/// either that we may not, or that there is none.
struct ReadProbe {
  struct Answer: Sendable {
    /// Of the partitions that could not be read.
    var reading: [TopicPartition: KafkaError] = [:]
    /// nil: we may commit, or nobody said that we may not.
    var committing: KafkaError?
  }

  let configuration: KafkaConsumerConfiguration

  /// - Parameter partitions: one for each topic, with a leader.
  func ask(_ partitions: [TopicPartition], within patience: Duration) async throws(KafkaError) -> Answer {
    var kafka = configuration
    kafka.instanceID = nil
    kafka.shutdownDeadline = .zero
    kafka.closeDeadline = .seconds(1)
    let consumer = try KafkaConsumer(kafka)
    let answer = ProbeAnswer()
    let nowhere = partitions.first.map { TopicPartition($0.topic, .max) }
    let handler = ProbeHandler(
      partitions: partitions, nowhere: nowhere, deadline: TimeSource.system.monotonic() + patience, answer: answer)
    do {
      let all = partitions + [nowhere].compactMap { $0 }
      try await consumer.run(.assignment(all.map { (partition: $0, start: .latest) }), handler)
    } catch let error as KafkaError {
      throw error
    } catch {
      throw KafkaError(code: .library, message: "\(error)")
    }
    return answer.value
  }
}

private final class ProbeAnswer: Sendable {
  private let state = Mutex(ReadProbe.Answer())

  var value: ReadProbe.Answer {
    get { state.withLock { $0 } }
    set { state.withLock { $0 = newValue } }
  }
}

private struct ProbeHandler: ConsumerHandler, Sendable {
  private var open: Set<TopicPartition>
  private let nowhere: TopicPartition?
  private let deadline: MonotonicInstant
  private var result = ReadProbe.Answer()
  private var isCommitOpen = false
  private let answer: ProbeAnswer

  init(partitions: [TopicPartition], nowhere: TopicPartition?, deadline: MonotonicInstant, answer: ProbeAnswer) {
    open = Set(partitions)
    self.nowhere = nowhere
    self.deadline = deadline
    self.answer = answer
  }

  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {
    if let nowhere {
      _ = control.commit([CommittedOffset(nowhere, offset: 0)], deadline: deadline)
      isCommitOpen = true
    }
    for partition in open {
      do throws(KafkaError) {
        let left = deadline - control.now
        guard left > .zero else { break }
        let end = try control.watermarks(partition, timeout: min(left, .seconds(3))).high
        try control.assign([(partition, offset: end)])
      } catch {
        settle(partition, error)
      }
    }
  }

  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    for index in 0..<batch.count { settle(batch[index].topicPartition, nil) }
  }

  mutating func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {
    switch event {
    // Before a broker says that it has no such offset it looks whether we may ask.
    case .partitionEnd(let partition, _), .offsetOutOfRange(let partition, _): settle(partition, nil)
    case .error(let error, let partition?) where error.code == .authorization: settle(partition, error)
    default: break
    }
  }

  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    isCommitOpen = false
    if case .refused(let error, _) = result, error.code == .authorization { self.result.committing = error }
  }

  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    guard now < deadline, isCommitOpen || !open.isEmpty else {
      for partition in open {
        result.reading[partition] = KafkaError(
          code: .timedOut, message: "nothing was answered to a fetch of \(partition)", isRetriable: true)
      }
      answer.value = result
      control.finish()
      return nil
    }
    return deadline
  }

  /// A topic as a whole has the partition -1.
  private mutating func settle(_ partition: TopicPartition, _ error: KafkaError?) {
    for known in open where known.topic == partition.topic {
      open.remove(known)
      result.reading[known] = error
    }
  }

  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {}
  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) {}
  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}
