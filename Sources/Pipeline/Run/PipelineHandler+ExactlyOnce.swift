internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// The shell around `ExactlyOnceStateMachine`: it tells the machine what happens and does what that says.
extension PipelineHandler {
  /// How long the thread waits for the broker at a time.
  static var readPatience: Duration { .seconds(3) }

  private static var identityPatience: Duration { .seconds(1) }
  private static var identityPause: Duration { .seconds(30) }

  func moment(_ control: borrowing ConsumerControl) -> Moment {
    Moment(monotonic: control.now, wallSeconds: (exactly?.time.wallNanoseconds() ?? 0) / 1_000_000_000)
  }

  mutating func tickExactly(_ control: borrowing ConsumerControl) {
    let now = moment(control)
    exactly?.tell { $0.tick(now) }
    perform(control)
  }

  /// Does what is to be done, also what doing it brings up.
  mutating func perform(_ control: borrowing ConsumerControl) {
    while exactly?.todo.isEmpty == false, let action = exactly?.todo.removeFirst() { carryOut(action, control) }
    if let exactly { exactly.lease.extend(to: exactly.machine.lease) }
  }

  private mutating func carryOut(_ action: DeliveryAction, _ control: borrowing ConsumerControl) {
    switch action {
    case .readOffsets(let ids): readOffsets(ids, control)
    case .commit(let commits): commit(commits, control)
    case .assign(let id, let offset): assign(id, offset, control)
    case .read(let id, let from, let through, let isDead): read(id, from, through, isDead, control)
    case .pause(let id): partitions[id].map { pause($0, control) }
    case .insert(let block, let token, let notAfter):
      if let draft = exactly?.gathered.removeValue(forKey: block) { submit(draft, block) }
      guard let held = exactly?.held[block] else { return }
      context.inserter.allow(held.sealed, token: token.description, notAfter: notAfter)
    case .count(let id, let block, let first, let last): count(id, block, first, last)
    case .cancel(let block): cancel(block)
    case .unassign(let ids): unassign(ids, control)
    case .finish:
      publishStatus(control.now, control, isLast: true)
      context.shared.noteDrained()
      control.finish()
    case .renew:
      context.logger.notice("starting over under the same instance id: the outcome of a commit is not known for sure")
      leave(partitions.values.map(\.topicPartition))
      exactly?.commit = nil
      exactly?.lease = DeliveryLease()
      control.renew()
    case .stopped(let id, let fault):
      guard let partition = partitions[id] else { return }
      let name = partition.topicPartition.description
      let reason = fault.message(of: partition.topicPartition)
      _ = context.alarms.raise(name, reason)
      context.logger.error(
        "a partition stands still until somebody has looked", ["partition": name, "reason": reason])
    }
  }

  // MARK: The group

  mutating func assignExactly(_ new: [TopicPartition], _ control: borrowing ConsumerControl) {
    guard let tables = exactly?.tables else { return }
    var list: [(id: Int, target: DeliveryTarget)] = []
    for topicPartition in new {
      guard let base = router.route(forTopic: topicPartition.topic) else {
        context.logger.error("no route takes a partition; it is not read", ["partition": topicPartition.description])
        continue
      }
      let route = base.forPartition()
      let partition = AssignedPartition(
        id: makePartitionID(), topicPartition: topicPartition, route: route, position: 0, committed: nil,
        counters: PartitionCounters(
          topic: topicPartition.topic, table: route.table.name, metrics: context.metrics))
      partition.isReading = false
      route.table.partition = partition
      route.deadLetterTable?.partition = partition
      partitions[partition.id] = partition
      guard let table = tables[base.table.target.index] else {
        preconditionFailure("\(base.table.name) is unknown")
      }
      list.append(
        (
          partition.id,
          DeliveryTarget(
            origin: .init(topic: topicPartition.topic, partition: topicPartition.partition, table: base.table.name),
            fingerprint: table.fingerprint, horizon: table.horizon, lineage: nil,
            freshLineage: .random(in: 0..<DeliveryTarget.identifiedBit), hasViews: table.hasViews)
        ))
    }
    partitionsByKey = [:]
    context.metrics.gauge(PipelineMetric.assignedPartitions).set(partitions.count)
    let now = moment(control)
    exactly?.tell { $0.assigned(list, nonce: .random(in: 0 ... .max), now) }
    perform(control)
  }

  private mutating func readOffsets(_ ids: [Int], _ control: borrowing ConsumerControl) {
    let wanted = ids.compactMap { partitions[$0] }
    var found: [(id: Int, held: PartitionDelivery.Snapshot?, start: Int64)] = []
    do throws(KafkaError) {
      let offsets = try control.committedOffsets(wanted.map(\.topicPartition), timeout: Self.readPatience)
      for entry in offsets {
        guard let partition = wanted.first(where: { $0.topicPartition == entry.partition }) else { continue }
        if let error = entry.error { throw error }
        var start: Int64 = 0
        if entry.offset == nil, exactly?.machine.partitions[partition.id]?.phase == .reading {
          start = try control.offsetForStart(entry.partition, timeout: Self.readPatience)
        }
        let held = entry.offset.map { PartitionDelivery.Snapshot(offset: $0, metadata: entry.metadata) }
        found.append((partition.id, held, start))
      }
    } catch {
      if error.isRetriable || error.code == .unknownTopicOrPartition {
        context.logger.warning("what the group holds could not be read; trying again", ["error": error.message])
      } else {
        fail(PipelineError(.refused, explained(error), cause: error), control)
      }
      let now = moment(control)
      exactly?.tell { $0.readFailed(now) }
      return
    }
    let now = moment(control)
    identify(wanted, control)
    exactly?.tell { $0.offsetsRead(found, now) }
  }

  /// Which logs these are: a topic that was deleted and made again has another id. It is a help and not a need: the
  /// controller that is asked may be down while all else goes on.
  private mutating func identify(_ partitions: [AssignedPartition], _ control: borrowing ConsumerControl) {
    if let notBefore = exactly?.identifiesNotBefore, control.now < notBefore { return }
    let topics = Set(partitions.map(\.topicPartition.topic)).sorted()
    do throws(KafkaError) {
      guard let ids = try control.topicIDs(topics, timeout: Self.identityPatience) else { return }
      let logs = partitions.compactMap { partition in
        ids[partition.topicPartition.topic].map { (partition.id, DeliveryTarget.lineage(of: $0)) }
      }
      let now = moment(control)
      exactly?.tell { $0.identified(logs, now) }
    } catch {
      context.logger.notice(
        "the controller did not say topics' ids; one that was made again is told by the group's offsets alone meanwhile",
        ["error": error.message])
      exactly?.identifiesNotBefore = control.now + Self.identityPause
    }
  }

  private mutating func commit(_ commits: [DeliveryCommit], _ control: borrowing ConsumerControl) {
    let offsets = commits.compactMap { commit in
      partitions[commit.partition].map {
        CommittedOffset($0.topicPartition, offset: commit.offset, metadata: commit.metadata)
      }
    }
    guard let patience = exactly?.patience.duration else { return }
    let now = control.now
    exactly?.commitIssuedAt = now
    exactly?.commit = control.commit(offsets, deadline: now + patience)
  }

  mutating func committedExactly(_ id: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    guard exactly?.commit == id else { return }
    exactly?.commit = nil
    judgePatience(result, control.now)
    let answer: ExactlyOnceStateMachine.CommitAnswer
    switch result {
    case .known:
      answer = .known
      allowedGroup()
    case .refused(let error, let offsets):
      answer = .refused
      refused(error, Set(offsets.map(\.partition.topic)))
      context.logger.debug("a commit was refused", ["error": error.message])
    case .unknown(let error):
      answer = .unknown
      context.logger.debug("nobody knows whether a commit landed", ["error": error.message])
    }
    context.metrics.counter(PipelineMetric.commits, ["\(answer)"]).add()
    let now = moment(control)
    exactly?.tell { $0.committed(answer, now) }
    perform(control)
    for (id, partition) in partitions { partition.committed = exactly?.machine.partitions[id]?.written?.offset }
  }

  private mutating func judgePatience(_ result: CommitResult, _ now: MonotonicInstant) {
    guard let desk = exactly else { return }
    let name = "group \(context.configuration.kafka.group)"
    switch result {
    case .known: exactly?.patience.answered(after: now - desk.commitIssuedAt)
    case .unknown(let error) where error.code == .timedOut: exactly?.patience.missed()
    default: return
    }
    guard let patience = exactly?.patience, patience != desk.patience else { return }
    guard patience.isStretched else {
      _ = context.alarms.clear(name)
      context.logger.notice("the group's coordinator answers commits in time again")
      return
    }
    guard patience.duration > desk.patience.duration else { return }
    let message = """
      the coordinator of the Kafka group took longer than \(desk.patience.duration) to answer a commit, which every block \
      waits for; waiting up to \(patience.duration) from now on. The broker is overloaded or frozen, or the way to it is slow
      """
    _ = context.alarms.raise(name, message)
    context.logger.warning("commits are slow", ["group": context.configuration.kafka.group, "reason": message])
  }

  /// A slow coordinator needs the last commit earlier.
  private func lastMoment(before deadline: MonotonicInstant, _ now: MonotonicInstant) -> MonotonicInstant {
    let slowness = (exactly?.patience.duration ?? CommitPatience.usual) - CommitPatience.usual
    return deadline + (.zero - max(.zero, min(slowness, (deadline - now) / 2)))
  }

  mutating func revokedExactly(
    _ gone: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    let leaving = partitions.values.filter { gone.contains($0.topicPartition) }
    for partition in leaving { cut(partition, .drain, with: leaving) }
    let unknown = gone.filter { wanted in !leaving.contains { $0.topicPartition == wanted } }
    if !unknown.isEmpty { attempt("unassign") { () throws(KafkaError) in try control.unassign(unknown) } }
    let now = moment(control)
    let ids = leaving.map(\.id)
    guard !ids.isEmpty else { return }
    let last = lastMoment(before: deadline, control.now)
    exactly?.tell { $0.revoked(ids, deadline: last, now) }
    perform(control)
  }

  /// What comes after our own `renew` is of partitions that are forgotten already.
  mutating func lostExactly(_ gone: [TopicPartition], _ control: borrowing ConsumerControl) {
    guard partitions.values.contains(where: { gone.contains($0.topicPartition) }) else { return }
    exactly?.tell { $0.lost() }
    perform(control)
  }

  mutating func stopExactly(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) {
    let all = Array(partitions.values)
    for partition in all { cut(partition, .drain, with: all) }
    let now = moment(control)
    let last = lastMoment(before: deadline, control.now)
    exactly?.tell { $0.stopping(deadline: last, now) }
    perform(control)
  }

  private mutating func unassign(_ ids: [Int], _ control: borrowing ConsumerControl) {
    let gone = ids.compactMap { partitions[$0]?.topicPartition }
    attempt("unassign") { () throws(KafkaError) in try control.unassign(gone) }
    leave(gone)
  }

  /// Whoever has them next says what is wrong with them.
  private mutating func leave(_ gone: [TopicPartition]) {
    for partition in gone { _ = context.alarms.clear(partition.description) }
    forget(gone)
  }

  private mutating func cancel(_ block: Int) {
    exactly?.gathered[block] = nil
    guard let held = exactly?.held.removeValue(forKey: block) else { return }
    held.permit.withdraw()
    context.inserter.discard([held.sealed])
  }

  mutating func remember(_ table: String, _ horizon: Duration) {
    for state in router.tables where state.name == table { exactly?.tables[state.target.index]?.horizon = horizon }
    for (id, partition) in partitions where partition.route.table.name == table {
      exactly?.machine.remembers(id, horizon)
    }
  }

  // MARK: Inserts

  mutating func ended(
    _ sealed: SealedBlock.ID, _ result: ExactlyOnceStateMachine.InsertResult, _ control: borrowing ConsumerControl
  ) {
    guard let number = exactly?.number(of: sealed) else { return }
    exactly?.held[number] = nil
    let now = moment(control)
    exactly?.tell { $0.inserted(number, result, now) }
    perform(control)
  }

  private func count(_ id: Int, _ block: Int, _ first: Int64, _ last: Int64) {
    guard let partition = partitions[id], let table = exactly?.tables[partition.route.table.target.index] else {
      return
    }
    guard table.canCount else {
      context.events.post(.counted(partition: id, block: block, rows: nil, deadLetters: 0))
      return
    }
    context.counter.count(
      partition.route.table.target.table, deadLetters: partition.route.deadLetterTable?.target.table,
      partition.topicPartition, first, last, id: id, block: block)
  }
}
