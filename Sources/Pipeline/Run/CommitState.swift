internal import KafkaClient
internal import SinkThreads

/// The one commit that may be under way, and when the next is due.
struct CommitState {
  /// What was sent, by the id of the partition.
  var outstanding: (id: CommitID, offsets: [Int: Int64], sentAt: MonotonicInstant)?
  var nextDue = MonotonicInstant(nanoseconds: .min)
  /// Commits in a row that are not known.
  var failures = 0
}

/// Partitions that the group has asked back.
struct Revocation {
  let partitions: [TopicPartition]
  let deadline: MonotonicInstant
}

/// Partitions that the group has given us and whose start could not be read yet.
struct PendingAssignment {
  var partitions: [TopicPartition] = []
  var nextTry: MonotonicInstant?
}
