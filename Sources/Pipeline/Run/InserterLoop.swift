internal import ClickHouseClient
internal import SinkTelemetry
internal import SinkThreads

/// The inserter's thread: its state is local to it, so none of it needs a lock.
struct InserterLoop: ~Copyable {
  /// A block as it is sent: the bytes of every attempt, and where its rows came from.
  private struct Sending {
    let block: EncodedBlock
    let target: InsertTarget
    let runs: [OffsetRun]
    /// The sealed block that it is, or is a part of.
    let root: SealedBlock.ID
    var token: String
    let tokenSuffix: String
    let permit: SendPermit?
    /// Dead letters of the same records, which land first.
    var before: SealedBlock.ID?
    var notAfter = MonotonicInstant(nanoseconds: .max)
    /// An attempt of it may have landed.
    var isUncertain = false

    var heldBytes: Int { block.byteCount + OffsetRun.bytes(of: runs) }
  }

  private let context: InserterContext
  private let mailbox: Mailbox<Inserter.Message>
  private let signal: WakeSignal
  private var queue: InsertQueueStateMachine
  private var sending: [SealedBlock.ID: Sending] = [:]
  private var families: [SealedBlock.ID: BlockFamily] = [:]
  /// Parts of split blocks count down from the top, so that they never meet the ids of sealed ones.
  private var nextPartID = SealedBlock.ID.max
  /// Tokens are unique to this run: at least once, they only keep a retry of ours from landing twice.
  private let tokenPrefix: String
  private var isStopping = false

  init(context: InserterContext, mailbox: Mailbox<Inserter.Message>, signal: WakeSignal) {
    self.context = context
    self.mailbox = mailbox
    self.signal = signal
    queue = InsertQueueStateMachine(limitInFlight: context.limitInFlight, policy: context.retry)
    tokenPrefix = "sinkctl-\(UInt64.random(in: 0 ... .max))"
  }

  mutating func run() {
    while !isStopping {
      for message in mailbox.takeAll() {
        switch message {
        case .insert(let block): accept(block)
        case .allow(let id, let token, let notAfter): allow(id, token, notAfter)
        case .discard(let ids): for id in ids where !isInFlight(id) { drop(id) }
        case .finished(let id, let response): finish(id, response)
        case .stop: isStopping = true
        }
        // A completion may come while blocks are encoded: send the next one before encoding another.
        dispatch()
      }
      dispatch()
      publish()
      guard !isStopping else { break }
      let now = context.time.monotonic()
      signal.wait(atMost: queue.nextDeadline.map { max(.zero, $0 - now) } ?? .seconds(3600))
    }
  }

  private mutating func accept(_ sealed: SealedBlock) {
    families[sealed.id] = BlockFamily(root: sealed.id, runs: sealed.runs)
    take(sealed, root: sealed.id, permit: sealed.permit)
    if let letters = sealed.deadLetters {
      take(letters, root: sealed.id, permit: sealed.permit)
      sending[sealed.id]?.before = letters.id
    }
    if sealed.permit == nil { queue.add(sealed.id, table: sealed.target.table.description) }
  }

  private mutating func take(_ sealed: SealedBlock, root: SealedBlock.ID, permit: SendPermit?) {
    guard var block = sealed.takeBlock() else { preconditionFailure("a block comes to the inserter once") }
    hold(
      block, id: sealed.id, root: root, target: sealed.target, runs: sealed.runs, permit: permit,
      tokenSuffix: sealed.tokenSuffix)
    block.removeAll()
    context.meter.giveBack(sealed.bytes)
    context.events.post(.spare(SpareBlock(target: sealed.target.index, block: block)))
    context.freed.wake()
  }

  /// Keeps a block as the bytes that every attempt sends.
  private mutating func hold(
    _ block: borrowing Block, id: SealedBlock.ID, root: SealedBlock.ID, target: InsertTarget, runs: [OffsetRun],
    permit: SendPermit? = nil, tokenSuffix: String = ""
  ) {
    let encoded: EncodedBlock
    do {
      encoded = try EncodedBlock(block, compression: context.compression)
    } catch {
      // Only a lack of memory or a broken compressor gets here; the block was made by us, of types that can be written.
      preconditionFailure("a block could not be encoded: \(error)")
    }
    let entry = Sending(
      block: encoded, target: target, runs: runs, root: root, token: "\(tokenPrefix)-\(id)",
      tokenSuffix: tokenSuffix, permit: permit)
    context.meter.take(entry.heldBytes)
    sending[id] = entry
  }

  private mutating func allow(_ id: SealedBlock.ID, _ token: String, _ notAfter: MonotonicInstant) {
    guard let entry = sending[id] else { return }
    for part in [id, entry.before].compactMap(\.self) {
      guard var sent = sending[part] else { continue }
      sent.token = token + sent.tokenSuffix
      sent.notAfter = notAfter
      sending[part] = sent
    }
    enqueue(entry.before ?? id)
  }

  private mutating func enqueue(_ id: SealedBlock.ID) {
    guard let entry = sending[id] else { return }
    queue.add(id, table: entry.target.table.description)
  }

  private func isInFlight(_ id: SealedBlock.ID) -> Bool {
    queue.isInFlight(id) || sending[id]?.before.map { queue.isInFlight($0) } ?? false
  }

  /// Forgets a block of an assignment, and its dead letters.
  private mutating func drop(_ id: SealedBlock.ID) {
    queue.remove(id)
    families[id] = nil
    guard let entry = sending.removeValue(forKey: id) else { return }
    context.meter.giveBack(entry.heldBytes)
    context.freed.wake()
    if let before = entry.before { drop(before) }
  }

  /// Whether the block may be sent at this very moment.
  private mutating func isAllowed(_ id: SealedBlock.ID, _ entry: Sending) -> Bool {
    guard let permit = entry.permit else { return true }
    let now = context.time.monotonic()
    if permit.isGone {
      drop(entry.root)
    } else if now >= entry.notAfter {
      drop(entry.root)
      context.events.post(.ended(entry.root, .expired))
    } else if !permit.holds(at: now) {
      queue.postpone(id, until: now + .milliseconds(50))
    } else {
      return true
    }
    return false
  }

  private mutating func dispatch() {
    for id in queue.takeReady(context.time.monotonic()) {
      guard let entry = sending[id] else { preconditionFailure("block \(id) is queued but not held") }
      guard isAllowed(id, entry) else { continue }
      let request = InsertRequest(
        table: entry.target.table, block: entry.block,
        deduplicationToken: entry.target.usesTokens ? entry.token : nil,
        settings: entry.target.settings, deadline: entry.target.deadline)
      let mailbox = mailbox
      context.client.insert(request) { mailbox.post(.finished(id, $0)) }
    }
  }

  private mutating func finish(_ id: SealedBlock.ID, _ response: InsertResponse) {
    guard let entry = sending[id] else { preconditionFailure("block \(id) answered but is not held") }
    let table = entry.target.table.description
    context.metrics.histogram(PipelineMetric.insertSeconds, [table], bounds: PipelineMetric.secondsBounds)
      .observe(response.duration.seconds)
    let (verdict, label, error) = judge(response.outcome, entry)
    context.metrics.counter(PipelineMetric.insertResults, [table, label]).add()
    if case .unknown = response.outcome {
      sending[id]?.isUncertain = true
      context.inquiry.ask(response.queryID, table: table)
    }
    if let permit = entry.permit, verdict == .isolate || permit.isGone {
      settle(table)
      drop(entry.root)
      if verdict == .isolate { tellRefused(entry, error) }
      if !permit.isGone { context.events.post(.ended(entry.root, .refused(isCertain: !entry.isUncertain))) }
      return
    }
    if entry.target.isCounted, sending[id]?.isUncertain == true {
      context.alarms.note(table, error?.message ?? "no answer")
      context.logger.warning(
        "the outcome of an insert is unknown; its offsets will be counted before anything is sent again",
        ["table": table, "rows": "\(entry.block.rows)", "query_id": response.queryID, "error": error?.message ?? "-"])
      drop(entry.root)
      context.events.post(.ended(entry.root, .expired))
      return
    }
    let action = queue.finished(id, verdict, context.time.monotonic(), random: .random(in: 0..<1))
    switch action {
    case .release:
      settle(table)
      countAccepted(entry, table)
      release(id, entry)
    case .retryAt(let until, let attempt):
      report(error, entry, verdict, attempt: attempt, wait: until - context.time.monotonic(), response.queryID)
    case .split:
      settle(table)
      split(id, entry, error)
    }
  }

  private func judge(
    _ outcome: InsertOutcome, _ entry: Sending
  ) -> (InsertQueueStateMachine.Verdict, label: String, ClickHouseError?) {
    switch outcome {
    case .accepted: return (.accepted, "accepted", nil)
    // A table without a memory for tokens stores the rows at each attempt, before its view fails.
    case .unknown(let error) where error.code == .partial && entry.permit == nil:
      return (.repeatsRows, "unknown", error)
    // Nothing is known, and asking again brings the same answer until somebody mends what the server complains about.
    case .unknown(let error): return (error.reaction == .retry ? .retry : .alarm, "unknown", error)
    case .rejected(let error):
      switch error.reaction {
      case .retry: return (.retry, "retry", error)
      case .pauseAndAlarm: return (.alarm, "alarm", error)
      case .isolate: return entry.target.isolatesBadRows ? (.isolate, "isolate", error) : (.alarm, "alarm", error)
      }
    }
  }

  private func countAccepted(_ entry: Sending, _ table: String) {
    context.metrics.counter(PipelineMetric.rowsInserted, [table]).add(entry.block.rows)
    context.metrics.counter(PipelineMetric.bytesInserted, [table]).add(entry.block.byteCount)
    context.metrics.histogram(PipelineMetric.insertRows, [table], bounds: PipelineMetric.rowsBounds)
      .observe(Double(entry.block.rows))
  }

  private mutating func release(_ id: SealedBlock.ID, _ entry: Sending) {
    sending[id] = nil
    context.meter.giveBack(entry.heldBytes)
    if sending[entry.root]?.before == id {
      sending[entry.root]?.before = nil
      return enqueue(entry.root)
    }
    guard var family = families.removeValue(forKey: entry.root) else { preconditionFailure("a part without its block") }
    if entry.permit != nil {
      context.events.post(.ended(id, .accepted))
    } else if family.landPart() {
      context.events.post(.landed(family.root, runs: family.runs))
    } else {
      families[entry.root] = family
    }
    context.freed.wake()
  }

  /// Cuts a block that the server refuses because of its data. A single row is the culprit: it goes to the dead letters,
  /// and that is said before its block may land.
  private mutating func split(_ id: SealedBlock.ID, _ entry: Sending, _ error: ClickHouseError?) {
    let rows = entry.block.rows
    let error = error ?? ClickHouseError(code: .malformedData, message: "refused without a reason")
    guard rows > 1 else {
      if let place = OffsetRun.locate(row: 0, in: entry.runs) {
        context.events.post(.rowRejected(partition: place.partition, offset: place.offset, error))
      }
      return release(id, entry)
    }
    tellRefused(entry, error, isPart: id != entry.root)
    let whole: Block
    do {
      whole = try entry.block.decode()
    } catch {
      preconditionFailure("our own block cannot be read back: \(error)")
    }
    families[entry.root]?.split()
    let parts = [nextPartID, nextPartID - 1]
    nextPartID -= 2
    for (part, half) in zip(parts, [0..<rows / 2, rows / 2..<rows]) {
      hold(
        whole.slice(rows: half), id: part, root: entry.root, target: entry.target,
        runs: OffsetRun.slice(entry.runs, rows: half))
    }
    queue.addFirst(parts, table: entry.target.table.description)
    sending[id] = nil
    context.meter.giveBack(entry.heldBytes)
  }

  private func tellRefused(_ entry: Sending, _ error: ClickHouseError?, isPart: Bool = false) {
    context.logger.log(
      isPart ? .debug : .warning, "ClickHouse refuses a block for its data; it is cut, to find the rows",
      [
        "table": entry.target.table.description, "rows": "\(entry.block.rows)",
        "error": error?.message ?? "no reason given",
      ])
  }

  private func report(
    _ error: ClickHouseError?, _ entry: Sending, _ verdict: InsertQueueStateMachine.Verdict, attempt: Int,
    wait: Duration, _ queryID: String
  ) {
    let table = entry.target.table.description
    let words = error?.message ?? "no reason given"
    let isForPeople = verdict == .alarm || verdict == .repeatsRows
    let isNews = isForPeople && context.alarms.raise(table, words)
    context.alarms.note(table, words)
    if isForPeople { context.metrics.gauge(PipelineMetric.tableAlarm, [table]).set(1) }
    let level: LogLevel = isNews ? .error : attempt == 1 || attempt % 10 == 0 ? .warning : .debug
    context.logger.log(
      level,
      isForPeople
        ? "a table refuses inserts until somebody mends it; records wait, nothing is dropped"
        : "an insert failed and will be tried again",
      [
        "table": table, "rows": "\(entry.block.rows)", "attempt": "\(attempt)",
        "again_in_seconds": "\((wait.seconds * 10).rounded() / 10)", "query_id": queryID, "error": words,
      ])
  }

  private func settle(_ table: String) {
    guard context.alarms.clear(table) else { return }
    context.metrics.gauge(PipelineMetric.tableAlarm, [table]).set(0)
    context.logger.notice("the table takes inserts again", ["table": table])
  }

  private func publish() {
    context.metrics.gauge(PipelineMetric.insertsInFlight).set(queue.inFlight)
    context.metrics.gauge(PipelineMetric.blocksWaiting).set(queue.count - queue.inFlight)
  }
}
