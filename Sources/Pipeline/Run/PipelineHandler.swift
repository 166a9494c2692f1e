internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// The pipeline on the consumer's thread: every record, block, claim and commit passes through here, one call at a time,
/// so none of it needs a lock. The facets beside this file are its rooms: blocks, commits, rebalances, dead letters.
struct PipelineHandler: ~Copyable, ConsumerHandler, @unchecked Sendable {
  // Sendable: moved once, onto the consumer's thread, before anything in it is used.
  struct PartitionKey: Hashable {
    let topicHandle: UInt
    let number: Int32
  }

  let context: HandlerContext
  let router: Router
  var budget: MemoryBudget
  var partitions: [Int: AssignedPartition] = [:]
  /// The same, as a batch names them; filled when a partition's first record comes.
  var partitionsByKey: [PartitionKey: AssignedPartition] = [:]
  var commit = CommitState()
  var revocation: Revocation?
  var unassigned = PendingAssignment()
  var stranded: [TopicPartition: StrandedPartition] = [:]
  var deadLetters: DeadLetterDesk
  /// nil: at least once.
  var exactly: ExactlyOnceDesk?
  /// Alarms about what Kafka does not allow.
  var refusals: Set<String> = []
  var phase = PipelineStatus.Phase.running
  /// Whether the group has taken us in; until then nothing flows, and the outside sees a start.
  var hasJoined = false
  var nextStatus = MonotonicInstant(nanoseconds: .min)
  /// Counts the loop's turns: what one poll brought is handed over within one, records first, then events.
  private(set) var turn: UInt64 = 0
  private var lastPartitionID = 0
  private var lastHolderID = PartitionLedger.stuck

  init(
    context: HandlerContext, router: Router, budget: MemoryBudget, deadLetters: DeadLetterDesk,
    exactly: ExactlyOnceDesk?
  ) {
    self.exactly = exactly
    self.context = context
    self.router = router
    self.budget = budget
    self.deadLetters = deadLetters
  }

  mutating func makeHolderID() -> PartitionLedger.HolderID {
    lastHolderID += 1
    return lastHolderID
  }

  mutating func makePartitionID() -> Int {
    lastPartitionID += 1
    return lastPartitionID
  }

  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {
    var index = 0
    while index < batch.count {
      guard let partition = partition(of: batch, at: index), !partition.isDraining,
        exactly == nil || partition.takes(turn)
      else {
        index += 1
        continue
      }
      index = take(batch, from: index, partition, control)
    }
  }

  /// One run of a partition's records; returns the index after it.
  private mutating func take(
    _ batch: borrowing RecordBatch, from start: Int, _ partition: AssignedPartition,
    _ control: borrowing ConsumerControl
  ) -> Int {
    let route = partition.route
    if !refusals.isEmpty { allowed(partition.topicPartition.topic) }
    if partition.replay.isDead { return bury(batch, at: start, partition, control) }
    openBlock(of: route.table, control.now)
    let done = route.absorb(batch, from: start, into: partition)
    partition.replay.cursor = partition.ledger.position
    partition.counters.add(done)
    switch done.stop {
    case .endOfRun: break
    case .complete:
      partition.replay.cursor = (partition.replay.through ?? partition.ledger.position - 1) + 1
      complete(partition, control)
    case .full(let reason): seal(route.table, reason)
    case .rejected(let rejection): reject(batch[done.next - 1].copy(), partition, rejection, control)
    }
    return done.next
  }

  private mutating func partition(of batch: borrowing RecordBatch, at index: Int) -> AssignedPartition? {
    let record = batch[index]
    let key = PartitionKey(topicHandle: record.topicHandle, number: record.partition)
    if let known = partitionsByKey[key] { return known }
    let wanted = record.topicPartition
    let found = self.partition(wanted)
    partitionsByKey[key] = found
    return found
  }

  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    serveEvents(control)
    assignPending(now, control)
    rescue(now, control)
    sealByAge(now)
    balanceMemory(control)
    deadLetters.resend(now)
    if exactly == nil {
      commitIfDue(now, control)
      finishDrains(control)
    } else {
      tickExactly(control)
    }
    publishStatus(now, control)
    turn &+= 1
    return nextWake(now)
  }

  private mutating func serveEvents(_ control: borrowing ConsumerControl) {
    for event in context.events.takeAll() {
      switch event {
      case .landed(let block, let runs): settle(block, Set(runs.map(\.partition)))
      case .rowRejected(let partition, let offset, let error): readAgain(partition, offset, error)
      case .recordRead(let row, let answer): rejectAgain(row, answer, control)
      case .spare(let spare): router.tables[spare.target].keep(spare)
      case .deadLetterAnswered(let id, let error):
        if let letter = deadLetters.answered(id, error, control.now) {
          settle(id, [letter.partition])
          acknowledged(letter, control)
        }
      case .ended(let id, let result): ended(id, result, control)
      case .counted(let partition, let block, let rows, let letters):
        let now = moment(control)
        exactly?.tell { $0.counted(partition, block: block, rows: rows, deadLetters: letters, now) }
        perform(control)
      case .horizon(let table, let horizon): remember(table, horizon)
      case .offsetsFound(let partition, let range, let offsets):
        offsetsFound(partition, range, offsets, control)
      }
    }
  }

  /// A holder of a former assignment settles nothing: the ids of its partitions are gone.
  mutating func settle(_ holder: PartitionLedger.HolderID, _ ids: Set<Int>) {
    for id in ids { partitions[id]?.ledger.settle(holder) }
  }

  mutating func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {
    if case .partitionEnd(let partition, _) = event { allowed(partition.topic) }
    switch event {
    case .offsetOutOfRange(let partition, _) where exactly != nil: outOfRange(partition, control)
    case .partitionEnd(let partition, let offset) where exactly != nil: reachedEnd(partition, offset, control)
    case .offsetOutOfRange(let partition, _): strand(partition, control.now)
    case .partitionEnd(let partition, let offset): reachedEnd(partition, offset)
    case .fenced(let error): fail(PipelineError(.fenced, error.message, cause: error), control)
    case .fatal(let error): fail(PipelineError(.kafka, error.message, cause: error), control)
    case .error(let error, let partition):
      guard !refused(error, Set([partition].compactMap { $0?.topic })) else { return }
      context.logger.warning(
        "Kafka reports an error", ["error": error.message, "partition": partition.map { $0.description } ?? "-"])
    case .statistics: break
    }
  }

  /// Ends the run with an error; what has landed is committed on the way out.
  mutating func fail(_ error: PipelineError, _ control: borrowing ConsumerControl) {
    context.shared.fail(error)
    control.stop()
  }

  /// When something is due by the clock alone.
  private func nextWake(_ now: MonotonicInstant) -> MonotonicInstant? {
    var wakes = [nextStatus]
    for table in tables {
      if let open = table.open, open.rows > 0 { wakes.append(open.openedAt + table.policy.linger) }
    }
    if let exactly {
      if let due = exactly.machine.nextDeadline { wakes.append(due) }
    } else if commit.outstanding == nil, partitions.values.contains(where: \.isDirty) {
      wakes.append(commit.nextDue)
    }
    if let due = unassigned.nextTry { wakes.append(due) }
    wakes += stranded.values.map(\.nextLook)
    if let due = deadLetters.nextResend { wakes.append(due) }
    return wakes.min()
  }
}
