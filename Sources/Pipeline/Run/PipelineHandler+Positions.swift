internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// A partition whose log does not hold the offset that is to be read next: it stands still until its log has been asked.
struct StrandedPartition {
  var nextLook: MonotonicInstant
  /// How often its log has ended below the position: a leader that is behind says so for a moment.
  var shortSightings = 0
  /// Reading goes on; the next complaint within a second waits until it is over.
  var isAnswered = false
}

/// Positions that no record moves: the ends of partitions, and offsets that the log no longer has.
extension PipelineHandler {
  /// What lies before the end and was not handed over (the marks of transactions, aborted records, what compaction has
  /// removed) holds nothing to account for.
  mutating func reachedEnd(_ end: TopicPartition, _ offset: Int64) {
    // Of a partition that drains, records were dropped without being read: they are the next owner's.
    guard let partition = partition(end), !partition.isDraining, offset > partition.ledger.position else { return }
    partition.ledger.read(upTo: offset)
  }

  mutating func strand(_ lost: TopicPartition, _ now: MonotonicInstant) {
    guard let partition = partition(lost), !partition.isDraining else { return }
    context.metrics.counter(PipelineMetric.offsetsOutOfRange, [lost.topic]).add()
    stranded[lost, default: StrandedPartition(nextLook: now)].isAnswered = false
  }

  /// One partition in each call, so that a broker that does not answer holds up the thread for two seconds at most.
  mutating func rescue(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) {
    guard let (lost, state) = stranded.first(where: { $0.value.nextLook <= now }) else { return }
    guard !state.isAnswered, let partition = partition(lost), !partition.isDraining else {
      stranded[lost] = nil
      return
    }
    do throws(KafkaError) {
      let log = try control.watermarks(lost, timeout: .seconds(2))
      let position = partition.ledger.position
      if position < log.low {
        try skipGap(partition, to: log.low, control)
      } else if position <= log.high {
        try control.seek(lost, to: position)
        // Kept for a second, so that an answer that comes again at once does not spin.
        stranded[lost] = StrandedPartition(nextLook: control.now + .seconds(1), isAnswered: true)
        return context.logger.notice(
          "an offset was out of range for a moment",
          ["partition": lost.description, "offset": "\(position)"])
      } else if state.shortSightings < 2 {
        stranded[lost] = StrandedPartition(
          nextLook: control.now + .seconds(1), shortSightings: state.shortSightings + 1)
        return
      } else {
        try startOver(partition, log, control)
      }
      stranded[lost] = nil
    } catch {
      context.logger.warning(
        "the log of a partition could not be asked for its offsets; trying again",
        ["partition": lost.description, "error": error.message])
      stranded[lost]?.nextLook = control.now + .seconds(1)
    }
  }

  /// Retention was faster than we were. What is gone is gone: nothing that the log still holds is left out, whatever
  /// `start` says for groups without an offset, unless it says `error`.
  private mutating func skipGap(
    _ partition: AssignedPartition, to low: Int64, _ control: borrowing ConsumerControl
  ) throws(KafkaError) {
    let position = partition.ledger.position
    guard context.configuration.kafka.start != .error else {
      return refuseStart(partition, "the log begins at offset \(low) now", control)
    }
    try control.seek(partition.topicPartition, to: low)
    context.metrics.counter(PipelineMetric.offsetsSkipped, [partition.topicPartition.topic]).add(Int(low - position))
    context.logger.error(
      "records were deleted before they were read: retention was faster than the pipeline",
      [
        "partition": partition.topicPartition.description, "first_missing": "\(position)", "continues_at": "\(low)",
        "missing": "\(low - position)",
      ])
    partition.ledger.read(upTo: low)
  }

  /// A shorter log is another log: the topic was made again, or a leader without the last records was elected. What was
  /// held of the old one settles nothing in the new one, and where that begins is what `start` means.
  private mutating func startOver(
    _ partition: AssignedPartition, _ log: (low: Int64, high: Int64), _ control: borrowing ConsumerControl
  ) throws(KafkaError) {
    let start: Int64
    switch context.configuration.kafka.start {
    case .earliest: start = log.low
    case .latest: start = log.high
    case .error: return refuseStart(partition, "the log ends at offset \(log.high)", control)
    }
    try control.seek(partition.topicPartition, to: start)
    context.logger.error(
      "the log ends before the offset that was to be read next: the topic was made again, or has lost its end",
      [
        "partition": partition.topicPartition.description, "offset": "\(partition.ledger.position)",
        "log_end": "\(log.high)", "continues_at": "\(start)",
      ])
    partitions[partition.id] = nil
    let again = AssignedPartition(
      id: makePartitionID(), topicPartition: partition.topicPartition, route: partition.route, position: start,
      committed: nil, counters: partition.counters)
    partitions[again.id] = again
    partitionsByKey = [:]
  }

  private mutating func refuseStart(
    _ partition: AssignedPartition, _ what: String, _ control: borrowing ConsumerControl
  ) {
    fail(
      PipelineError(
        .refused,
        "partition \(partition.topicPartition) has no offset \(partition.ledger.position): \(what), and kafka.start is "
          + "`error`. Set the group's offset, or kafka.start to earliest or latest"), control)
  }

  func partition(_ wanted: TopicPartition) -> AssignedPartition? {
    partitions.values.first { $0.topicPartition == wanted }
  }
}
