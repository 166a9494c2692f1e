internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// Records that cannot become rows.
extension PipelineHandler {
  /// A record that the decoder refused. It is right behind the position, claimed by nobody yet.
  mutating func reject(
    _ record: Record, _ partition: AssignedPartition, _ rejection: Rejection, _ control: borrowing ConsumerControl
  ) {
    let policy = partition.route.configuration.deadLetters
    // Letters of a table are with their block, and known by its token.
    let isWithBlock = if case .table = policy { true } else { false }
    if exactly != nil, !isWithBlock, !partition.replay.buried.insert(record.offset).inserted { return }
    count(rejection, partition)
    let table = partition.route.table.name
    switch policy {
    case .skip:
      context.logger.debug("a record was skipped", describe(record, rejection))
    case .stop: stop(at: record, rejection, partition, control)
    case .topic(let topic):
      let id = makeHolderID()
      partition.ledger.claim(record.offset, through: record.offset, for: id)
      let letter = DeadLetter(id: id, partition: partition.id, record: record, table: table, rejection: rejection)
      deadLetters.send(letter, to: topic)
      if exactly != nil { partition.replay.letters.insert(id) }
    case .table:
      guard let holder = write(record, rejection, partition, control) else { return }
      if exactly == nil { partition.ledger.claim(record.offset, through: record.offset, for: holder) }
    }
  }

  /// A row that only the server refused: the block does not hold the record's own bytes, Kafka does.
  mutating func readAgain(_ id: Int, _ offset: Int64, _ error: ClickHouseError) {
    // Gone meanwhile: whoever has the partition now reads the record anyway.
    guard let partition = partitions[id] else { return }
    let row = RefusedRow(holder: makeHolderID(), partition: id, offset: offset, error: error)
    partition.ledger.claim(offset, through: offset, for: row.holder)
    context.reader.read(partition.topicPartition, row)
  }

  mutating func rejectAgain(
    _ row: RefusedRow, _ answer: RecordReader.Answer, _ control: borrowing ConsumerControl
  ) {
    guard let partition = partitions[row.partition] else { return }
    let record: Record
    var words = ""
    switch answer {
    case .found(let found): record = found
    case .failed: return context.reader.read(partition.topicPartition, row)
    case .gone:
      words = " (the log no longer holds the record itself)"
      record = Record(
        topic: partition.topicPartition.topic, partition: partition.topicPartition.partition, offset: row.offset,
        timestampMilliseconds: -1, timestampType: .none, key: nil, value: nil, headers: [])
    }
    let rejection = Rejection(reason: .server, message: "ClickHouse refused the row: \(row.error.message)\(words)")
    count(rejection, partition)
    switch partition.route.configuration.deadLetters {
    case .skip: partition.ledger.settle(row.holder)
    case .stop:
      stop(at: record, rejection, partition, control)
      partition.ledger.settle(row.holder)
    case .topic(let topic):
      let letter = DeadLetter(
        id: row.holder, partition: row.partition, record: record, table: partition.route.table.name,
        rejection: rejection)
      deadLetters.send(letter, to: topic)
    case .table:
      if let holder = write(record, rejection, partition, control) {
        partition.ledger.claim(row.offset, through: row.offset, for: holder)
      }
      partition.ledger.settle(row.holder)
    }
  }

  /// Appends a dead letter to its table's block.
  /// - Returns: the block that holds it now; nil after a failure that ends the run, with the record as what stops it.
  private mutating func write(
    _ record: Record, _ rejection: Rejection, _ partition: AssignedPartition, _ control: borrowing ConsumerControl
  ) -> SealedBlock.ID? {
    guard let table = partition.route.deadLetterTable else { preconditionFailure("the route has a dead letter table") }
    openBlock(of: table, control.now)
    guard let open = table.open else { return nil }
    do throws(ClickHouseError) {
      try DeadLetterTable.append(record, rejection, table: partition.route.table.name, to: open)
    } catch {
      stick(to: record, partition, control)
      fail(
        PipelineError(
          .deadLetter,
          "the dead letter of record \(record.topic)[\(record.partition)]@\(record.offset) does not fit table "
            + "\(table.name): \(error.message)"), control)
      return nil
    }
    open.runs.append(
      OffsetRun(partition: partition.id, firstOffset: record.offset, firstRow: open.rows - 1, count: 1))
    if let reason = table.policy.reason(rows: open.rows, bytes: open.bytes, age: .zero) { seal(table, reason) }
    return open.id
  }

  private mutating func stop(
    at record: Record, _ rejection: Rejection, _ partition: AssignedPartition, _ control: borrowing ConsumerControl
  ) {
    stick(to: record, partition, control)
    fail(
      PipelineError(
        .deadLetter,
        "record \(record.topic)[\(record.partition)]@\(record.offset) cannot become a row: \(rejection.message). "
          + "Mend the record's source or the table, or give the route dead_letters: {topic: …}, {table: …} or skip"),
      control)
  }

  /// Nothing behind this record is read or committed; what lies before it lands.
  private func stick(to record: Record, _ partition: AssignedPartition, _ control: borrowing ConsumerControl) {
    partition.ledger.claim(record.offset, through: record.offset, for: PartitionLedger.stuck)
    partition.isDraining = true
    attempt("pause") { () throws(KafkaError) in try control.pause([partition.topicPartition]) }
  }

  private func count(_ rejection: Rejection, _ partition: AssignedPartition) {
    context.metrics.counter(
      PipelineMetric.deadLetters, [partition.topicPartition.topic, rejection.reason.rawValue]
    ).add()
  }

  private func describe(_ record: Record, _ rejection: Rejection) -> KeyValuePairs<String, String> {
    [
      "record": "\(record.topic)[\(record.partition)]@\(record.offset)", "reason": rejection.reason.rawValue,
      "message": rejection.message,
    ]
  }
}
