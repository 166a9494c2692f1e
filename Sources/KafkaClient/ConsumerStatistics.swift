/// The few of librdkafka's statistics that an operator looks at, and the whole text for the rest.
public struct ConsumerStatistics: Sendable {
  public struct Partition: Sendable {
    public let partition: TopicPartition
    /// Records between what was handed over and the end, as of the last fetch; nil before the first one.
    public let lag: Int64?
    /// Queued in librdkafka, not handed over yet.
    public let queuedRecords: Int64
    public let queuedBytes: Int64
  }

  /// Those that are or were fetched from.
  public let partitions: [Partition]
  public let receivedBytes: Int64
  public let receivedRecords: Int64
  /// Operations that wait to be polled: grows where the handler is slow.
  public let queuedOperations: Int64
  /// Round trips to the slowest broker, mean over the interval.
  public let roundTrip: Duration?
  /// As librdkafka writes it: STATISTICS.md there.
  public let json: String
}
