/// Names one `ConsumerControl.commit`, within one `KafkaConsumer`.
public struct CommitID: Sendable, Hashable {
  let number: UInt64
}

/// A partition's offset in the group.
public struct CommittedOffset: Sendable {
  public let partition: TopicPartition
  /// The next record to read; nil where the group has none.
  public let offset: Int64?
  /// Kept with the offset: ASCII, at most 4096 bytes by the broker's default.
  public let metadata: String
  /// For this partition alone; nil where it is well.
  public let error: KafkaError?

  public init(_ partition: TopicPartition, offset: Int64?, metadata: String = "", error: KafkaError? = nil) {
    self.partition = partition
    self.offset = offset
    self.metadata = metadata
    self.error = error
  }
}

/// What is certain about a commit.
public enum CommitResult: Sendable {
  /// Written, and no other copy of the request is on its way: it was answered without error before its deadline, exactly
  /// one OffsetCommit request went out for it, and the member's generation and assignment stayed the same.
  case known([CommittedOffset])
  /// Not sent, or refused by the broker. The request is not atomic and librdkafka reports one error for all: read the
  /// offsets back before building on any of them.
  case refused(KafkaError, [CommittedOffset])
  /// It may have been written, may be written later, even over a newer one. Do not repeat it: `control.renew()`.
  case unknown(KafkaError)
}
