internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// Blocks: opened, sealed, and kept within the budget.
extension PipelineHandler {
  /// All that blocks grow for; exactly once, each partition has blocks of its own.
  var tables: [TableState] {
    guard exactly != nil else { return router.tables }
    return router.tables + partitions.values.map(\.route.table) + partitions.values.compactMap(\.route.deadLetterTable)
  }

  mutating func openBlock(of table: TableState, _ now: MonotonicInstant) {
    if let open = table.open {
      if open.rows == 0 { open.openedAt = now }
      return
    }
    // Emptied blocks come back to the route's table, whichever partition's rows they held.
    let spares = table.partition == nil ? table : router.tables[table.target.index]
    table.open = OpenBlock(id: makeHolderID(), target: table.target, openedAt: now, block: spares.makeBlock())
  }

  mutating func seal(_ table: TableState, _ reason: SealPolicy.Reason) {
    if let partition = table.partition {
      return cut(partition, reason, with: reason == .rows || reason == .bytes ? [] : Array(partitions.values))
    }
    guard let open = table.open, open.rows > 0 else { return }
    table.open = nil
    context.metrics.counter(PipelineMetric.blocksSealed, [table.target.table.description, reason.rawValue]).add()
    context.inserter.submit(open.seal(nil))
  }

  mutating func sealByAge(_ now: MonotonicInstant) {
    for table in tables {
      guard let open = table.open else { continue }
      if let reason = table.policy.reason(rows: open.rows, bytes: open.bytes, age: now - open.openedAt) {
        seal(table, reason)
      }
    }
  }

  /// Before a drain: everything that holds records of these partitions goes now.
  mutating func sealHolding(_ ids: Set<Int>) {
    for table in tables {
      if let open = table.open, open.runs.contains(where: { ids.contains($0.partition) }) { seal(table, .drain) }
    }
  }

  private var usedBytes: Int {
    let gathered = exactly?.gathered.values.reduce(0) { $0 + $1.heldBytes } ?? 0
    return context.meter.bytes + tables.reduce(gathered) { $0 + $1.heldBytes }
  }

  /// Over the budget, memory that holds no row goes, then the largest blocks; if that does not help soon, partitions
  /// pause.
  ///
  /// Pausing makes librdkafka throw away what it has fetched and costs about a second of reading, so for half a second
  /// this thread rather waits for an insert to land. Nothing else suffers from that: heartbeats have their own thread.
  mutating func balanceMemory(_ control: borrowing ConsumerControl) {
    if budget.isPaused || usedBytes >= budget.limitBytes { relieve() }
    if usedBytes >= budget.limitBytes, !budget.isPaused, phase == .running, revocation == nil {
      let end = control.now + .milliseconds(500)
      while usedBytes >= budget.limitBytes, control.now < end { context.freed.wait(atMost: end - control.now) }
    }
    let action = budget.update(usedBytes: usedBytes)
    let reading = partitions.values.filter { !$0.isDraining && $0.isReading }.map(\.topicPartition)
    switch action {
    case .none: return
    case .pause:
      context.logger.debug("paused: the memory budget is used up", ["bytes": "\(budget.usedBytes)"])
      attempt("pause") { () throws(KafkaError) in try control.pause(reading) }
    case .resume:
      attempt("resume") { () throws(KafkaError) in try control.resume(reading) }
    }
    context.metrics.gauge(PipelineMetric.pausedPartitions).set(budget.isPaused ? reading.count : 0)
  }

  /// While paused nothing grows any more, so everything goes: what is left in use is then on its way to a server, and
  /// comes down when that answers. A spare or a small block that stayed could hold the pause for ever.
  private mutating func relieve() {
    for table in tables { table.dropSpares() }
    guard budget.isPaused || usedBytes >= budget.limitBytes else { return }
    let enough = budget.isPaused ? 0 : budget.limitBytes / 4
    var open = tables.reduce(0) { $0 + $1.openBytes }
    for table in tables.sorted(by: { $0.openBytes > $1.openBytes }) {
      guard open > enough else { return }
      open -= table.openBytes
      seal(table, .memory)
    }
  }

  /// A refusal here means that the partition has gone meanwhile: the rebalance that says so is on its way.
  func attempt(_ what: String, _ body: () throws(KafkaError) -> Void) {
    do throws(KafkaError) {
      try body()
    } catch {
      context.logger.warning("librdkafka refused a call", ["call": what, "error": error.message])
    }
  }
}
