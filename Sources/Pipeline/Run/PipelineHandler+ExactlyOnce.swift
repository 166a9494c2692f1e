internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// The shell around `ExactlyOnceStateMachine`: it tells the machine what happens and does what that says.
extension PipelineHandler {
  /// How long the thread waits for the broker at a time.
  private static var readPatience: Duration { .seconds(3) }

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
    case .insert(_, let block, let token, let notAfter):
      guard let held = exactly?.held[block] else { return }
      context.inserter.allow(held.sealed, token: token.description, notAfter: notAfter)
    case .count(let id, let block, let first, let last): count(id, block, first, last)
    case .cancel(let id): cancel(id)
    case .unassign(let ids): unassign(ids, control)
    case .finish:
      publishStatus(control.now, control, isLast: true)
      context.shared.noteDrained()
      control.finish()
    case .renew:
      context.logger.notice("starting over under the same instance id: the outcome of a commit is not known for sure")
      leave(partitions.values.map(\.topicPartition))
      exactly?.held = [:]
      exactly?.commit = nil
      exactly?.lease = DeliveryLease()
      control.renew()
    case .stopped(let id, let fault):
      guard let partition = partitions[id] else { return }
      let name = partition.topicPartition.description
      _ = context.alarms.raise(name, fault.message)
      context.logger.error(
        "a partition stands still until somebody has looked", ["partition": name, "reason": fault.message])
    }
  }

  // MARK: The group

  mutating func assignExactly(_ new: [TopicPartition], _ control: borrowing ConsumerControl) {
    guard let desk = exactly else { return }
    var list: [(id: Int, target: DeliveryTarget)] = []
    for topicPartition in new {
      guard let base = router.route(forTopic: topicPartition.topic) else {
        context.logger.error("no route takes a partition; it is not read", ["partition": topicPartition.description])
        continue
      }
      let route = base.forPartition()
      let partition = AssignedPartition(
        id: makePartitionID(), topicPartition: topicPartition, route: route, position: 0, committed: nil,
        counters: PartitionCounters(topic: topicPartition.topic, metrics: context.metrics))
      partition.isReading = false
      partition.replay.permit = SendPermit(lease: desk.lease)
      route.table.partition = partition
      partitions[partition.id] = partition
      let table = desk.tables[base.table.target.index]
      list.append(
        (
          partition.id,
          DeliveryTarget(
            origin: .init(topic: topicPartition.topic, partition: topicPartition.partition, table: base.table.name),
            fingerprint: table.fingerprint, horizon: table.horizon, lineage: nil,
            freshLineage: .random(in: 0..<DeliveryTarget.identifiedBit))
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
        fail(PipelineError(.refused, error.message, cause: error), control)
      }
      let now = moment(control)
      exactly?.tell { $0.readFailed(now) }
      return
    }
    let now = moment(control)
    exactly?.tell { $0.offsetsRead(found, now) }
  }

  private mutating func commit(_ commits: [DeliveryCommit], _ control: borrowing ConsumerControl) {
    let offsets = commits.compactMap { commit in
      partitions[commit.partition].map {
        CommittedOffset($0.topicPartition, offset: commit.offset, metadata: commit.metadata)
      }
    }
    exactly?.commit = control.commit(offsets, deadline: control.now + .milliseconds(500))
  }

  mutating func committedExactly(_ id: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    guard exactly?.commit == id else { return }
    exactly?.commit = nil
    let answer: ExactlyOnceStateMachine.CommitAnswer
    switch result {
    case .known: answer = .known
    case .refused(let error, _):
      answer = .refused
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

  mutating func revokedExactly(
    _ gone: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) {
    let leaving = partitions.values.filter { gone.contains($0.topicPartition) }
    for partition in leaving { cut(partition, .drain) }
    let unknown = gone.filter { wanted in !leaving.contains { $0.topicPartition == wanted } }
    if !unknown.isEmpty { attempt("unassign") { () throws(KafkaError) in try control.unassign(unknown) } }
    let now = moment(control)
    let ids = leaving.map(\.id)
    guard !ids.isEmpty else { return }
    exactly?.tell { $0.revoked(ids, deadline: deadline, now) }
    perform(control)
  }

  /// What comes after our own `renew` is of partitions that are forgotten already.
  mutating func lostExactly(_ gone: [TopicPartition], _ control: borrowing ConsumerControl) {
    guard partitions.values.contains(where: { gone.contains($0.topicPartition) }) else { return }
    exactly?.tell { $0.lost() }
    perform(control)
  }

  mutating func stopExactly(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) {
    for partition in partitions.values { cut(partition, .drain) }
    let now = moment(control)
    exactly?.tell { $0.stopping(deadline: deadline, now) }
    perform(control)
  }

  private mutating func unassign(_ ids: [Int], _ control: borrowing ConsumerControl) {
    let gone = ids.compactMap { partitions[$0]?.topicPartition }
    for id in ids { cancel(id) }
    attempt("unassign") { () throws(KafkaError) in try control.unassign(gone) }
    leave(gone)
  }

  /// Whoever has them next says what is wrong with them.
  private mutating func leave(_ gone: [TopicPartition]) {
    for partition in gone { _ = context.alarms.clear(partition.description) }
    forget(gone)
  }

  private mutating func cancel(_ id: Int) {
    partitions[id]?.replay.permit?.withdraw()
    let blocks = exactly?.held.filter { $0.value.partition == id } ?? [:]
    for number in blocks.keys { exactly?.held[number] = nil }
    context.inserter.discard(blocks.values.map(\.sealed))
  }

  // MARK: Reading

  private mutating func assign(_ id: Int, _ offset: Int64, _ control: borrowing ConsumerControl) {
    guard let partition = partitions[id] else { return }
    attempt("assign") { () throws(KafkaError) in
      try control.assign([(partition.topicPartition, offset: offset)])
    }
    partition.replay.cursor = offset
    context.logger.info(
      "reading a partition", ["partition": partition.topicPartition.description, "offset": "\(offset)"])
  }

  private mutating func read(
    _ id: Int, _ from: Int64, _ through: Int64?, _ isDead: Bool, _ control: borrowing ConsumerControl
  ) {
    guard let partition = partitions[id] else { return }
    if let open = partition.route.table.open {
      open.block?.removeAll()
      open.runs = []
    }
    partition.ledger = PartitionLedger(position: from)
    partition.replay.through = through
    partition.replay.isDead = isDead
    partition.replay.letters = []
    partition.replay.isEnding = false
    seek(partition, control)
    guard !partition.isReading else { return }
    partition.isReading = true
    if !budget.isPaused {
      attempt("resume") { () throws(KafkaError) in try control.resume([partition.topicPartition]) }
    }
  }

  /// Makes the ledger's position what comes next.
  private mutating func seek(_ partition: AssignedPartition, _ control: borrowing ConsumerControl) {
    let position = partition.ledger.position
    guard partition.replay.cursor != position else { return }
    attempt("seek") { () throws(KafkaError) in try control.seek(partition.topicPartition, to: position) }
    partition.replay.cursor = position
    partition.replay.staleBatch = batchNumber
  }

  private func pause(_ partition: AssignedPartition, _ control: borrowing ConsumerControl) {
    partition.isReading = false
    attempt("pause") { () throws(KafkaError) in try control.pause([partition.topicPartition]) }
  }

  /// The block that was made again is whole: a record or the log's end lies beyond it.
  ///
  /// With dead letters on their way it ends later; what comes meanwhile is dropped, and sought again.
  mutating func complete(_ partition: AssignedPartition, _ control: borrowing ConsumerControl) {
    guard let through = partition.replay.through else { return }
    partition.ledger.read(upTo: through + 1)
    guard partition.replay.letters.isEmpty else {
      partition.replay.isEnding = true
      return
    }
    let rows = partition.route.table.openRows
    let now = moment(control)
    guard let block = exactly?.take({ $0.collected(partition.id, rows: rows, now) }) else { return }
    partition.replay.through = nil
    handOver(partition, block)
    perform(control)
  }

  /// Ends the open block where blocks are cut freely. What follows is done with the next call that has the control.
  mutating func cut(_ partition: AssignedPartition, _ reason: SealPolicy.Reason) {
    guard let machine = exactly?.machine.partitions[partition.id], machine.reader == .cut,
      partition.replay.through == nil, partition.ledger.position > machine.position
    else { return }
    guard partition.replay.letters.isEmpty else {
      partition.replay.isEnding = true
      return
    }
    let stuck = partition.ledger.claims[PartitionLedger.stuck]?.first
    let last = (stuck ?? partition.ledger.position) - 1
    guard last >= machine.position else { return }
    let rows = partition.route.table.openRows
    let now = Moment(
      monotonic: exactly?.time.monotonic() ?? MonotonicInstant(nanoseconds: 0),
      wallSeconds: (exactly?.time.wallNanoseconds() ?? 0) / 1_000_000_000)
    guard let block = exactly?.take({ $0.sealed(partition.id, through: last, rows: rows, now) }) else { return }
    context.metrics.counter(PipelineMetric.blocksSealed, [partition.route.table.name, reason.rawValue]).add()
    handOver(partition, block)
  }

  /// A record that the server has refused before: to the dead letters, whatever the decoder says of it.
  mutating func bury(
    _ batch: borrowing RecordBatch, at index: Int, _ partition: AssignedPartition, _ control: borrowing ConsumerControl
  ) -> Int {
    let record = batch[index].copy()
    guard record.offset <= partition.replay.through ?? .max else {
      partition.replay.cursor = (partition.replay.through ?? record.offset - 1) + 1
      complete(partition, control)
      return index
    }
    guard record.offset >= partition.ledger.position else { return index + 1 }
    partition.ledger.read(upTo: record.offset + 1)
    partition.replay.cursor = record.offset + 1
    if record.value != nil {
      reject(record, partition, Rejection(reason: .server, message: "ClickHouse refused the row"), control)
    }
    return index + 1
  }

  /// Gives the open block to the inserter, which encodes it while its declaration is on its way.
  private mutating func handOver(_ partition: AssignedPartition, _ block: Int) {
    if !partition.replay.buried.isEmpty {
      let frontier = exactly?.machine.partitions[partition.id]?.frontier ?? 0
      partition.replay.buried = partition.replay.buried.filter { $0 >= frontier }
    }
    guard let open = partition.route.table.open, open.rows > 0 else { return }
    partition.route.table.open = nil
    exactly?.held[block] = ExactlyOnceDesk.HeldBlock(partition: partition.id, sealed: open.id)
    context.inserter.submit(open.seal(partition.replay.permit))
    partition.ledger.settle(open.id)
  }

  /// The dead letters of a block that ends are in their topic.
  mutating func acknowledged(_ letter: DeadLetter, _ control: borrowing ConsumerControl) {
    guard exactly != nil, let partition = partitions[letter.partition] else { return }
    partition.replay.letters.remove(letter.id)
    guard partition.replay.letters.isEmpty, partition.replay.isEnding else { return }
    partition.replay.isEnding = false
    if partition.replay.through != nil {
      complete(partition, control)
    } else {
      cut(partition, .drain)
      seek(partition, control)
      perform(control)
    }
  }

  mutating func reachedEnd(_ end: TopicPartition, _ offset: Int64, _ control: borrowing ConsumerControl) {
    guard let partition = partition(end), partition.isReading, !partition.replay.isEnding,
      let cursor = partition.replay.cursor, offset >= cursor
    else { return }
    guard let through = partition.replay.through else {
      partition.ledger.read(upTo: max(offset, partition.ledger.position))
      partition.replay.cursor = partition.ledger.position
      if partition.route.table.openRows == 0 { cut(partition, .drain) }
      return perform(control)
    }
    if offset > through {
      partition.replay.cursor = through + 1
      complete(partition, control)
    } else {
      let now = moment(control)
      exactly?.tell { $0.truncated(partition.id, now) }
      perform(control)
    }
  }

  mutating func outOfRange(_ lost: TopicPartition, _ control: borrowing ConsumerControl) {
    guard let partition = partition(lost) else { return }
    context.metrics.counter(PipelineMetric.offsetsOutOfRange, [lost.topic]).add()
    do throws(KafkaError) {
      let log = try control.watermarks(lost, timeout: Self.readPatience)
      let position = partition.ledger.position
      if position >= log.low, position <= log.high {
        return try control.seek(lost, to: position)
      }
      let now = moment(control)
      exactly?.tell { machine in
        if position > log.high { return machine.truncated(partition.id, now) }
        return machine.outOfRange(partition.id, logStart: log.low, now)
      }
      perform(control)
    } catch {
      context.logger.warning(
        "the log of a partition could not be asked for its offsets",
        ["partition": lost.description, "error": error.message])
      attempt("seek") { () throws(KafkaError) in try control.seek(lost, to: partition.ledger.position) }
    }
  }

  // MARK: Inserts

  mutating func ended(
    _ sealed: SealedBlock.ID, _ result: ExactlyOnceStateMachine.InsertResult, _ control: borrowing ConsumerControl
  ) {
    guard let number = exactly?.number(of: sealed), let held = exactly?.held.removeValue(forKey: number) else { return }
    let now = moment(control)
    exactly?.tell { $0.inserted(held.partition, block: number, result, now) }
    perform(control)
  }

  private func count(_ id: Int, _ block: Int, _ first: Int64, _ last: Int64) {
    guard let partition = partitions[id], let table = exactly?.tables[partition.route.table.target.index] else {
      return
    }
    guard table.canCount else {
      context.events.post(.counted(partition: id, block: block, rows: nil))
      return
    }
    context.counter.count(
      partition.route.table.target.table, partition.topicPartition, first, last, id: id, block: block)
  }
}
