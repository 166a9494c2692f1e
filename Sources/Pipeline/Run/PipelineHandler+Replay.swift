internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// Reading exactly once: where blocks end, and how one is made again from the log.
extension PipelineHandler {
  mutating func assign(_ id: Int, _ offset: Int64, _ control: borrowing ConsumerControl) {
    guard let partition = partitions[id] else { return }
    attempt("assign") { () throws(KafkaError) in
      try control.assign([(partition.topicPartition, offset: offset)])
    }
    partition.replay.cursor = offset
    context.logger.info(
      "reading a partition", ["partition": partition.topicPartition.description, "offset": "\(offset)"])
  }

  mutating func read(
    _ id: Int, _ from: Int64, _ through: Int64?, _ isDead: Bool, _ control: borrowing ConsumerControl
  ) {
    guard let partition = partitions[id] else { return }
    partition.replay.known = []
    partition.replay.awaited = nil
    let asked = tablesToAsk(partition)
    guard let through, !asked.isEmpty else { return begin(partition, from, through, isDead, control) }
    let range = ReplayRange(first: from, last: through, isDead: isDead)
    partition.replay.awaited = range
    partition.isReading = false
    context.counter.find(asked, partition.topicPartition, range, id: id)
  }

  /// Those in which a part of a block may be that must not go there again: its dead letters, sent by a former owner or
  /// before the block was halved; without tokens its rows, where an insert makes several parts.
  private func tablesToAsk(_ partition: AssignedPartition) -> [TableName] {
    let main = partition.route.table.target
    return (main.isCounted ? [main.table] : []) + [partition.route.deadLetterTable?.target.table].compactMap(\.self)
  }

  mutating func offsetsFound(
    _ id: Int, _ range: ReplayRange, _ offsets: Set<Int64>, _ control: borrowing ConsumerControl
  ) {
    guard let partition = partitions[id], partition.replay.awaited == range else { return }
    partition.replay.awaited = nil
    partition.replay.known = offsets
    begin(partition, range.first, range.last, range.isDead, control)
  }

  private mutating func begin(
    _ partition: AssignedPartition, _ from: Int64, _ through: Int64?, _ isDead: Bool,
    _ control: borrowing ConsumerControl
  ) {
    partition.route.table.clear()
    partition.route.deadLetterTable?.clear()
    partition.replay.knownRows = 0
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
    partition.replay.sought(position, in: turn)
  }

  func pause(_ partition: AssignedPartition, _ control: borrowing ConsumerControl) {
    partition.isReading = false
    partition.replay.awaited = nil
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
    let isShared = exactly?.machine.partitions[partition.id]?.replayed?.intent.isShared == true
    let rows = partition.openRows
    let now = moment(control)
    guard let block = exactly?.take({ $0.collected(partition.id, rows: rows, now) }) else { return }
    partition.replay.through = nil
    if let draft = takeOpen([partition]) {
      if isShared { gather(draft, block, partition) } else { submit(draft, block) }
    }
    perform(control)
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
    if partition.replay.known.contains(record.offset) {
      partition.replay.knownRows += 1
    } else if record.value != nil {
      reject(record, partition, Rejection(reason: .server, message: "ClickHouse refused the row"), control)
    }
    return index + 1
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
      !partition.replay.isStale(turn), let cursor = partition.replay.cursor, offset >= cursor
    else { return }
    guard let through = partition.replay.through else {
      partition.ledger.read(upTo: max(offset, partition.ledger.position))
      partition.replay.cursor = partition.ledger.position
      if partition.openRows == 0 { cut(partition, .drain) }
      return perform(control)
    }
    if offset > through {
      partition.replay.cursor = through + 1
      complete(partition, control)
    } else {
      endsEarly(partition, through, control)
    }
  }

  /// The log seems to end before a block that was read from it. A leader that has just been elected may not know yet how far
  /// its predecessor's readers were let (KIP-207): to a fetch that is an end, while a question for its offsets waits.
  private mutating func endsEarly(
    _ partition: AssignedPartition, _ through: Int64, _ control: borrowing ConsumerControl
  ) {
    do throws(KafkaError) {
      guard try control.watermarks(partition.topicPartition, timeout: Self.readPatience).high <= through else { return }
      let now = moment(control)
      exactly?.tell { $0.truncated(partition.id, now) }
      perform(control)
    } catch {
      lookAgain(partition, error, control)
    }
  }

  /// Has the same end or gap told once more.
  private func lookAgain(
    _ partition: AssignedPartition, _ error: KafkaError, _ control: borrowing ConsumerControl
  ) {
    context.logger.warning(
      "the log of a partition could not be asked for its offsets",
      ["partition": partition.topicPartition.description, "error": error.message])
    let position = partition.ledger.position
    attempt("seek") { () throws(KafkaError) in try control.seek(partition.topicPartition, to: position) }
    partition.replay.sought(position, in: turn)
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
        if position > log.high { return machine.beyondLog(partition.id, logEnd: log.high, now) }
        return machine.outOfRange(partition.id, logStart: log.low, now)
      }
      perform(control)
    } catch {
      lookAgain(partition, error, control)
    }
  }
}
