internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// What the outside sees, twice a second.
extension PipelineHandler {
  mutating func publishStatus(
    _ now: MonotonicInstant, _ control: borrowing ConsumerControl, isLast: Bool = false
  ) {
    guard now >= nextStatus || isLast else { return }
    nextStatus = now + .milliseconds(500)
    var status = PipelineStatus()
    // A member that gets no partition has joined too.
    if !hasJoined { hasJoined = !partitions.isEmpty || control.generation >= 0 }
    status.phase = phase == .running && !hasJoined ? .starting : phase
    for partition in partitions.values.sorted(by: { $0.id < $1.id }) {
      let end = control.cachedWatermarks(partition.topicPartition)?.high
      let entry = PipelineStatus.Partition(
        topic: partition.topicPartition.topic, partition: partition.topicPartition.partition,
        frontier: exactly?.machine.partitions[partition.id]?.frontier ?? partition.ledger.frontier,
        position: partition.ledger.position, committed: partition.committed, end: end)
      status.partitions.append(entry)
      publish(entry)
    }
    status.alarms = context.alarms.alarms
    status.memoryUsedBytes = budget.usedBytes
    status.memoryLimitBytes = budget.limitBytes
    status.isPaused = budget.isPaused
    context.metrics.gauge(PipelineMetric.memoryUsed).set(budget.usedBytes)
    context.metrics.gauge(PipelineMetric.memoryLimit).set(budget.limitBytes)
    context.shared.publish(status)
  }

  private func publish(_ entry: PipelineStatus.Partition) {
    let labels = [entry.topic, String(entry.partition)]
    context.metrics.gauge(PipelineMetric.frontier, labels).set(Int(entry.frontier))
    if let lag = entry.lag { context.metrics.gauge(PipelineMetric.lag, labels).set(Int(lag)) }
    if let committed = entry.committed { context.metrics.gauge(PipelineMetric.committed, labels).set(Int(committed)) }
  }
}
