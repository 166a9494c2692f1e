/// What happens beside records and rebalances.
public enum ConsumerEvent: Sendable {
  /// The end of the partition as the isolation level sees it; `offset` is the next one that a record could have. Comes
  /// each time that the end is reached.
  case partitionEnd(TopicPartition, offset: Int64)
  /// The broker does not have the offset (deleted by retention, or never written). The partition stands still until
  /// `control.seek` moves it.
  case offsetOutOfRange(TopicPartition, KafkaError)
  /// Something failed and librdkafka goes on by itself; the partition where it is one's own, -1 where it is a topic's as a
  /// whole.
  case error(KafkaError, TopicPartition?)
  case statistics(ConsumerStatistics)
  /// Another process has taken our instance id. The handle is dead; unless the handler renews it, which would fight
  /// back, the run ends with this error.
  case fenced(KafkaError)
  /// The handle is dead; unless the handler calls `control.renew()` in this call, the run ends with this error.
  case fatal(KafkaError)
}
