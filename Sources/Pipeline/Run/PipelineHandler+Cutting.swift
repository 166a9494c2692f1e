internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// Exactly once: where blocks end, and whose rows they hold. Each partition's rows grow in a block of their own; thin ones
/// are put together when they end.
extension PipelineHandler {
  /// Ends the open block where blocks are cut freely. What follows is done with the next call that has the control.
  /// - Parameter others: whose thin blocks may go along with a thin one.
  mutating func cut(
    _ partition: AssignedPartition, _ reason: SealPolicy.Reason, with others: [AssignedPartition] = []
  ) {
    guard exactly?.machine.partitions[partition.id]?.reader == .cut, partition.replay.through == nil else { return }
    guard partition.replay.letters.isEmpty else {
      partition.replay.isEnding = true
      return
    }
    guard let own = end(of: partition) else { return }
    if reason == .age, !hasRoom(partition) {
      // It could not be sent: let it grow.
      partition.route.table.open?.openedAt = exactly?.time.monotonic() ?? MonotonicInstant(nanoseconds: 0)
      return
    }
    var members = [partition]
    var cuts = [own]
    for (companion, cut) in companions(of: partition, own, among: others) {
      members.append(companion)
      cuts.append(cut)
    }
    let now = Moment(
      monotonic: exactly?.time.monotonic() ?? MonotonicInstant(nanoseconds: 0),
      wallSeconds: (exactly?.time.wallNanoseconds() ?? 0) / 1_000_000_000)
    guard let block = exactly?.take({ $0.sealed(cuts, now) }) else { return }
    context.metrics.counter(PipelineMetric.blocksSealed, [partition.route.table.name, reason.rawValue]).add()
    for member in members where !member.replay.buried.isEmpty {
      let frontier = exactly?.machine.partitions[member.id]?.frontier ?? 0
      member.replay.buried = member.replay.buried.filter { $0 >= frontier }
    }
    if let draft = takeOpen(members) { submit(draft, block) }
  }

  /// A block that waits for others of its partition to be settled would hold up all partitions that share it.
  private func hasRoom(_ partition: AssignedPartition) -> Bool {
    guard let machine = exactly?.machine else { return false }
    return machine.partitions[partition.id]?.hasRoom(machine.rules) == true
  }

  /// nil where nothing has been read since the last block.
  private func end(of partition: AssignedPartition) -> ExactlyOnceStateMachine.Cut? {
    guard let machine = exactly?.machine.partitions[partition.id], partition.ledger.position > machine.position else {
      return nil
    }
    let stuck = partition.ledger.claims[PartitionLedger.stuck]?.first
    let last = (stuck ?? partition.ledger.position) - 1
    guard last >= machine.position else { return nil }
    return .init(partition: partition.id, last: last, rows: partition.openRows)
  }

  /// Thin partitions of the same table whose rows fit into the block as well. What is in doubt of a shared block is counted
  /// where its partitions go to different members, so the table must be able to tell, for views behind it too.
  private func companions(
    of partition: AssignedPartition, _ own: ExactlyOnceStateMachine.Cut, among others: [AssignedPartition]
  ) -> [(AssignedPartition, ExactlyOnceStateMachine.Cut)] {
    let table = partition.route.table
    guard let desk = exactly, let facts = desk.tables[table.target.index], facts.canCount, !facts.hasViews,
      own.rows > 0, partition.route.isThin,
      hasRoom(partition)
    else { return [] }
    var rows = own.rows
    var bytes = table.open?.bytes ?? 0
    var found: [(AssignedPartition, ExactlyOnceStateMachine.Cut)] = []
    for other in others where other.id != partition.id && other.route.table.target.index == table.target.index {
      guard found.count + 1 < desk.machine.rules.partsLimit else { break }
      guard other.route.isThin, other.replay.letters.isEmpty, other.replay.through == nil,
        desk.machine.partitions[other.id]?.reader == .cut, hasRoom(other), let cut = end(of: other), cut.rows > 0
      else { continue }
      rows += cut.rows
      bytes += other.route.table.open?.bytes ?? 0
      guard rows <= table.policy.maxRows, bytes <= table.policy.maxBytes else { break }
      found.append((other, cut))
    }
    return found
  }

  /// What is open of these partitions, as one; nil where that is nothing.
  func takeOpen(_ members: [AssignedPartition]) -> BlockDraft? {
    for member in members { member.route.table.open.map { member.ledger.settle($0.id) } }
    let letters = members.compactMap { $0.route.deadLetterTable }.compactMap { $0.takeOpen() }
    let rows = members.compactMap { $0.route.table.openRows > 0 ? $0.route.table : nil }
    // The largest block takes in the others.
    let largest = rows.max { $0.openRows < $1.openRows }
    var draft = BlockDraft(rows: largest?.takeOpen())
    for member in members {
      if let open = member.route.table.open, open.rows > 0 { draft.rows?.take(open) }
      draft.known.formUnion(member.replay.known)
      member.replay.knownRows = 0
    }
    for letter in letters { draft.take(letters: letter) }
    return draft.isEmpty ? nil : draft
  }

  /// Adds a part to a shared block that is being made again.
  mutating func gather(_ part: consuming BlockDraft, _ block: Int, _ partition: AssignedPartition) {
    // Offsets of two partitions must not be taken for each other.
    part.known = Set(part.known.map { $0 ^ Int64(partition.topicPartition.partition) << 40 })
    guard var known = exactly?.gathered[block] else {
      exactly?.gathered[block] = part
      return
    }
    known.take(part)
    exactly?.gathered[block] = known
  }

  /// Gives a block to the inserter, which encodes it while its declaration is on its way.
  mutating func submit(_ draft: BlockDraft, _ block: Int) {
    guard let lease = exactly?.lease else { return }
    let permit = SendPermit(lease: lease)
    // With what is there already it is another set of dead letters: another token.
    let suffix = DeduplicationToken.deadLetterSuffix(known: draft.known)
    let letters = draft.letters?.seal(permit, tokenSuffix: suffix)
    guard let sealed = draft.rows?.seal(permit, deadLetters: letters) ?? letters else { return }
    exactly?.held[block] = ExactlyOnceDesk.HeldBlock(sealed: sealed.id, permit: permit)
    context.inserter.submit(sealed)
  }
}

/// What one block is made of, before it is sealed.
struct BlockDraft {
  var rows: OpenBlock?
  /// Dead letters of the same records, where they go to a table.
  var letters: OpenBlock?
  /// Offsets that the dead letter table has already.
  var known: Set<Int64> = []

  init(rows: OpenBlock?) { self.rows = rows }

  var isEmpty: Bool { rows == nil && letters == nil }
  var heldBytes: Int { (rows?.heldBytes ?? 0) + (letters?.heldBytes ?? 0) }

  mutating func take(_ other: BlockDraft) {
    if let mine = rows, let theirs = other.rows { mine.take(theirs) } else { rows = rows ?? other.rows }
    if let theirs = other.letters { take(letters: theirs) }
    known.formUnion(other.known)
  }

  mutating func take(letters more: OpenBlock) {
    if let letters { letters.take(more) } else { letters = more }
  }
}
