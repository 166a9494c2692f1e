/// What a consumer reads.
public enum KafkaSubscription: Sendable {
  /// Shared with the other members of the group. A name that begins with `^` is an extended regular expression; topics
  /// that match later are found with the next refresh of the metadata (`topic.metadata.refresh.interval.ms`).
  case topics([String])
  /// Exactly these, without the group's say; offsets may still be committed under the group's name.
  case assignment([(partition: TopicPartition, start: StartPosition)])
}

/// Where to begin where the group has committed nothing.
public enum StartOffset: String, Sendable, CaseIterable {
  case earliest
  case latest
  /// Refuse to guess: the partition's start is an error that names it.
  case error
}

/// Where a manually assigned partition begins.
public enum StartPosition: Sendable, Hashable {
  /// The next record to read.
  case offset(Int64)
  case earliest
  case latest
  /// What the group committed, else what the configuration's `start` means.
  case committed
}

/// Whether records of transactions that are open or were aborted are seen.
public enum IsolationLevel: String, Sendable, CaseIterable {
  case readCommitted = "read_committed"
  case readUncommitted = "read_uncommitted"
}
