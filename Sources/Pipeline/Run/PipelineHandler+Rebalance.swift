internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// The group gives partitions and takes them back.
extension PipelineHandler {
  mutating func assigned(_ new: [TopicPartition], _ control: borrowing ConsumerControl) {
    count("assigned")
    guard !new.isEmpty else { return }
    unassigned.partitions += new
    unassigned.nextTry = control.now
    assignPending(control.now, control)
  }

  /// Reads where the group stands and starts there. Until that is known nothing is read; a broker that does not answer
  /// is asked again a second later.
  mutating func assignPending(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) {
    guard let due = unassigned.nextTry, now >= due else { return }
    do throws(KafkaError) {
      let committed = try control.committedOffsets(unassigned.partitions, timeout: .seconds(5))
      var starts: [(partition: TopicPartition, offset: Int64, committed: Int64?)] = []
      for entry in committed {
        let offset: Int64
        if let known = entry.offset {
          offset = known
        } else {
          offset = try control.offsetForStart(entry.partition, timeout: .seconds(5))
        }
        starts.append((entry.partition, offset, entry.offset))
      }
      try begin(starts, control)
      unassigned = PendingAssignment()
    } catch  where error.isRetriable {
      context.logger.warning(
        "where to start could not be read; trying again",
        ["partitions": "\(unassigned.partitions.count)", "error": error.message])
      unassigned.nextTry = now + .seconds(1)
    } catch {
      unassigned.nextTry = nil
      fail(PipelineError(.refused, error.message, cause: error), control)
    }
  }

  private mutating func begin(
    _ starts: [(partition: TopicPartition, offset: Int64, committed: Int64?)], _ control: borrowing ConsumerControl
  ) throws(KafkaError) {
    try control.assign(starts.map { ($0.partition, offset: $0.offset) })
    for start in starts {
      guard let route = router.route(forTopic: start.partition.topic) else {
        // The subscription is made from the routes, so another topic here is a regular expression read in two ways.
        context.logger.error("no route takes a topic of the subscription", ["topic": start.partition.topic])
        continue
      }
      let partition = AssignedPartition(
        id: makePartitionID(), topicPartition: start.partition, route: route, position: start.offset,
        committed: start.committed,
        counters: PartitionCounters(topic: start.partition.topic, metrics: context.metrics))
      partitions[partition.id] = partition
      context.logger.info(
        "reading a partition", ["partition": start.partition.description, "offset": "\(start.offset)"])
    }
    if budget.isPaused {
      try control.pause(starts.map(\.partition))
    }
    partitionsByKey = [:]
    context.metrics.gauge(PipelineMetric.assignedPartitions).set(partitions.count)
  }

  mutating func revoked(
    _ gone: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    count("revoked")
    unassigned.partitions.removeAll { gone.contains($0) }
    if unassigned.partitions.isEmpty { unassigned.nextTry = nil }
    revocation = Revocation(partitions: gone, deadline: deadline)
    drain(partitions.values.filter { gone.contains($0.topicPartition) }, control)
  }

  mutating func lost(_ gone: [TopicPartition], _ control: borrowing ConsumerControl) {
    count("lost")
    if !gone.isEmpty {
      context.logger.warning("partitions were lost before they were drained", ["partitions": "\(gone)"])
    }
    unassigned.partitions.removeAll { gone.contains($0) }
    if unassigned.partitions.isEmpty { unassigned.nextTry = nil }
    forget(gone)
    revocation = nil
  }

  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) {
    phase = .draining
    unassigned = PendingAssignment()
    context.shared.enter(.draining)
    context.logger.info("draining", ["partitions": "\(partitions.count)"])
    drain(Array(partitions.values), control)
  }

  private mutating func drain(_ leaving: [AssignedPartition], _ control: borrowing ConsumerControl) {
    for partition in leaving { partition.isDraining = true }
    attempt("pause") { () throws(KafkaError) in try control.pause(leaving.map(\.topicPartition)) }
    sealHolding(Set(leaving.map(\.id)))
    commit.nextDue = control.now
  }

  /// Lets go of what has been drained: all landed, and the commit that says so is known.
  mutating func finishDrains(_ control: borrowing ConsumerControl) {
    if phase == .draining {
      // A dead letter table may have got its last rows from blocks that the server refused during the drain.
      sealHolding(Set(partitions.keys))
      guard commit.outstanding == nil, partitions.values.allSatisfy(\.isDrained) else { return }
      control.finish()
    } else if let revocation {
      let leaving = partitions.values.filter { revocation.partitions.contains($0.topicPartition) }
      sealHolding(Set(leaving.map(\.id)))
      guard commit.outstanding == nil, leaving.allSatisfy(\.isDrained) else { return }
      attempt("unassign") { () throws(KafkaError) in try control.unassign(revocation.partitions) }
      forget(revocation.partitions)
      self.revocation = nil
    }
  }

  private mutating func forget(_ gone: [TopicPartition]) {
    for partition in partitions.values where gone.contains(partition.topicPartition) {
      partitions[partition.id] = nil
      let labels = [partition.topicPartition.topic, String(partition.topicPartition.partition)]
      for gauge in [PipelineMetric.lag, PipelineMetric.frontier, PipelineMetric.committed] {
        context.metrics.remove(gauge, labels)
      }
    }
    partitionsByKey = [:]
    context.metrics.gauge(PipelineMetric.assignedPartitions).set(partitions.count)
  }

  /// The log no longer holds the offset that was to be read next: retention was faster, or the topic was made again.
  mutating func resumeInRange(_ lost: TopicPartition, _ error: KafkaError, _ control: borrowing ConsumerControl) {
    guard let partition = partitions.values.first(where: { $0.topicPartition == lost }) else { return }
    context.metrics.counter(PipelineMetric.offsetsOutOfRange, [lost.topic]).add()
    do throws(KafkaError) {
      let start = try control.offsetForStart(lost, timeout: .seconds(5))
      let position = partition.ledger.position
      context.logger.error(
        "the log does not hold the next offset; reading goes on elsewhere",
        ["partition": lost.description, "offset": "\(position)", "continues_at": "\(start)"])
      try control.unassign([lost])
      try control.assign([(lost, offset: start)])
      if start >= position {
        partition.ledger.read(upTo: start)
      } else {
        // A shorter log is another log: what was held of the old one settles nothing in the new.
        partitions[partition.id] = nil
        let again = AssignedPartition(
          id: makePartitionID(), topicPartition: lost, route: partition.route, position: start, committed: nil,
          counters: partition.counters)
        partitions[again.id] = again
        partitionsByKey = [:]
      }
    } catch {
      fail(
        PipelineError(
          .refused,
          "partition \(lost) no longer holds offset \(partition.ledger.position), and no other start is known: "
            + "\(error.message). Set kafka.start to earliest or latest, or set the group's offset", cause: error),
        control)
    }
  }

  private func count(_ kind: String) { context.metrics.counter(PipelineMetric.rebalances, [kind]).add() }
}
