internal import KafkaClient
internal import SinkTelemetry

/// One partition while this member has it. A new assignment of the same partition is a new value with a new id, so that
/// what still flies for the old one settles nothing of the new.
final class AssignedPartition {
  let id: Int
  let topicPartition: TopicPartition
  let route: RouteState
  var ledger: PartitionLedger
  let counters: PartitionCounters
  /// The frontier of the last commit that is known; nil where the group has none.
  var committed: Int64?
  /// Asked back, or the pipeline is ending: nothing more is read, what is held lands.
  var isDraining = false
  /// False while the delivery state machine wants nothing read.
  var isReading = true
  /// What only exactly once needs.
  var replay = ReplayState()

  init(
    id: Int, topicPartition: TopicPartition, route: RouteState, position: Int64, committed: Int64?,
    counters: PartitionCounters
  ) {
    self.id = id
    self.topicPartition = topicPartition
    self.route = route
    self.committed = committed
    self.counters = counters
    ledger = PartitionLedger(position: position)
  }

  /// Whether there is something to commit. A partition whose group offset was not set yet commits its start as well:
  /// a restart before the first record then finds the same start.
  var isDirty: Bool { ledger.frontier != committed }

  /// Nothing is on its way, and the group knows it.
  var isDrained: Bool { ledger.isSettled && !isDirty }
}
