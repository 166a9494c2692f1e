/// What a record's timestamp means.
public enum TimestampType: UInt8, Sendable {
  case none = 0
  /// Given by the producer.
  case creation = 1
  /// When the broker appended it (`message.timestamp.type=LogAppendTime`).
  case append = 2
}

/// One record with bytes of its own: for small users and tests. The fast way is ``RecordView``.
public struct Record: Sendable {
  public struct Header: Sendable, Hashable {
    public let name: String
    /// nil is Kafka's null.
    public let value: [UInt8]?

    public init(_ name: String, _ value: [UInt8]?) {
      self.name = name
      self.value = value
    }

    public init(_ name: String, _ text: String) { self.init(name, Array(text.utf8)) }
  }

  public let topic: String
  public let partition: Int32
  public let offset: Int64
  /// Since 1970-01-01 UTC; -1 where there is none.
  public let timestampMilliseconds: Int64
  public let timestampType: TimestampType
  /// nil is Kafka's null, which is not the same as empty.
  public let key: [UInt8]?
  /// nil is a tombstone, which is not the same as empty.
  public let value: [UInt8]?
  /// In the producer's order; names may repeat.
  public let headers: [Header]

  public init(
    topic: String, partition: Int32, offset: Int64, timestampMilliseconds: Int64, timestampType: TimestampType,
    key: [UInt8]?, value: [UInt8]?, headers: [Header]
  ) {
    self.topic = topic
    self.partition = partition
    self.offset = offset
    self.timestampMilliseconds = timestampMilliseconds
    self.timestampType = timestampType
    self.key = key
    self.value = value
    self.headers = headers
  }

  public var topicPartition: TopicPartition { TopicPartition(topic, partition) }
}
