internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// The group gives partitions and takes them back.
extension PipelineHandler {
  mutating func assigned(_ new: [TopicPartition], _ control: borrowing ConsumerControl) {
    count("assigned")
    // Said at once, that we are in.
    nextStatus = control.now
    // On the way out nothing new is begun.
    guard !new.isEmpty, phase == .running else { return }
    allowedGroup()
    guard exactly == nil else { return assignExactly(new, control) }
    unassigned.partitions += new
    unassigned.nextTry = control.now
    assignPending(control.now, control)
  }

  /// Reads where the group stands and starts there. Until that is known of a partition it is not read; a broker that does
  /// not answer is asked again a second later.
  mutating func assignPending(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) {
    guard let due = unassigned.nextTry, now >= due else { return }
    do throws(KafkaError) {
      var starts: [Start] = []
      var left: [TopicPartition] = []
      do throws(KafkaError) {
        let end = now + Self.startPatience
        for known in try control.committedOffsets(unassigned.partitions, timeout: Self.startPatience) {
          do throws(KafkaError) {
            starts.append(try start(known, before: end, control))
          } catch  where Self.mayPass(error) {
            reportNoStart(known.partition, error)
            left.append(known.partition)
          }
        }
      } catch  where Self.mayPass(error) {
        unassigned.partitions.first.map { reportNoStart($0, error) }
        left = unassigned.partitions
      }
      try begin(starts, control)
      unassigned = PendingAssignment(partitions: left, nextTry: left.isEmpty ? nil : control.now + .seconds(1))
    } catch {
      unassigned.nextTry = nil
      fail(PipelineError(.refused, explained(error), cause: error), control)
    }
  }

  private typealias Start = (partition: TopicPartition, offset: Int64, committed: Int64?)

  /// How long the thread waits for brokers at a time; polling goes on between.
  private static var startPatience: Duration { .seconds(5) }

  /// A topic that is gone may be made again; its partitions are asked back soon if not.
  private static func mayPass(_ error: KafkaError) -> Bool {
    error.isRetriable || error.code == .unknownTopicOrPartition
  }

  private func start(
    _ known: CommittedOffset, before end: MonotonicInstant, _ control: borrowing ConsumerControl
  ) throws(KafkaError) -> Start {
    if let error = known.error { throw error }
    if let offset = known.offset { return (known.partition, offset, offset) }
    let left = end - control.now
    guard left > .zero else {
      throw KafkaError(code: .timedOut, message: "its turn did not come in time", isRetriable: true)
    }
    return (known.partition, try control.offsetForStart(known.partition, timeout: left), nil)
  }

  private func reportNoStart(_ partition: TopicPartition, _ error: KafkaError) {
    context.logger.warning(
      "where to start could not be read; trying again",
      ["partition": partition.description, "error": error.message])
  }

  private mutating func begin(_ starts: [Start], _ control: borrowing ConsumerControl) throws(KafkaError) {
    let routed = starts.compactMap { start in
      router.route(forTopic: start.partition.topic).map { (start, $0) }
    }
    if routed.count < starts.count {
      // The subscription is made from the routes, so another topic here is a regular expression read in two ways.
      context.logger.error(
        "no route takes some partitions of the subscription; they are not read",
        ["partitions": "\(starts.map(\.partition).filter { router.route(forTopic: $0.topic) == nil })"])
    }
    try control.assign(routed.map { ($0.0.partition, offset: $0.0.offset) })
    for (start, route) in routed {
      let partition = AssignedPartition(
        id: makePartitionID(), topicPartition: start.partition, route: route, position: start.offset,
        committed: start.committed,
        counters: PartitionCounters(
          topic: start.partition.topic, table: route.table.name, metrics: context.metrics))
      partitions[partition.id] = partition
      context.logger.info(
        "reading a partition", ["partition": start.partition.description, "offset": "\(start.offset)"])
    }
    if budget.isPaused {
      attempt("pause") { () throws(KafkaError) in try control.pause(routed.map(\.0.partition)) }
    }
    partitionsByKey = [:]
    context.metrics.gauge(PipelineMetric.assignedPartitions).set(partitions.count)
  }

  mutating func revoked(
    _ gone: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    count("revoked")
    guard exactly == nil else { return revokedExactly(gone, deadline: deadline, control) }
    unassigned.partitions.removeAll { gone.contains($0) }
    if unassigned.partitions.isEmpty { unassigned.nextTry = nil }
    // One that is still under way goes back together with this one.
    let all = (revocation?.partitions ?? []) + gone
    revocation = Revocation(partitions: all, deadline: deadline)
    drain(partitions.values.filter { all.contains($0.topicPartition) }, control)
  }

  mutating func lost(_ gone: [TopicPartition], _ control: borrowing ConsumerControl) {
    count("lost")
    if !gone.isEmpty {
      context.logger.warning("partitions were lost before they were drained", ["partitions": "\(gone)"])
    }
    guard exactly == nil else { return lostExactly(gone, control) }
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
    guard exactly == nil else { return stopExactly(deadline: deadline, control) }
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
      publishStatus(control.now, control, isLast: true)
      context.shared.noteDrained()
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

  mutating func forget(_ gone: [TopicPartition]) {
    for partition in partitions.values where gone.contains(partition.topicPartition) {
      partitions[partition.id] = nil
      stranded[partition.topicPartition] = nil
      let labels = [partition.topicPartition.topic, String(partition.topicPartition.partition)]
      for gauge in [PipelineMetric.lag, PipelineMetric.frontier, PipelineMetric.committed] {
        context.metrics.remove(gauge, labels)
      }
    }
    partitionsByKey = [:]
    context.metrics.gauge(PipelineMetric.assignedPartitions).set(partitions.count)
  }

  private func count(_ kind: String) { context.metrics.counter(PipelineMetric.rebalances, [kind]).add() }
}
