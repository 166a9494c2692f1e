internal import KafkaClient

/// How a partition that stands still goes on: a pure function of what was found and counted.
struct RecoveryPlanner {
  typealias Verdict = ResetPlanner.Verdict

  /// A piece of the log between the committed offset and the end of the last block.
  private enum Piece {
    case done(ClosedRange<Int64>)
    case kept(Intent)
    case again(ClosedRange<Int64>)

    var range: ClosedRange<Int64> {
      switch self {
      case .done(let range), .again(let range): range
      case .kept(let intent): intent.first...intent.last
      }
    }
  }

  let choice: Recovery.Choice?
  /// The choice is for blocks too that a run would settle.
  let isForced: Bool

  /// - Parameters:
  ///   - counts: of the pending blocks, in their order; nil where the table cannot tell.
  ///   - random: for new tokens.
  func plan(
    _ found: FoundPartition, counts: [FoundRows?], random: inout some RandomNumberGenerator
  ) -> Verdict {
    let before = found.offsets
    func stay(_ reason: String, _ blocks: [BlockPlan] = []) -> OffsetPlan.Stay {
      OffsetPlan.Stay(before: before, reason: reason, blocks: blocks)
    }
    if case .unknown(let reason) = before.trouble { return .refused(stay(reason)) }
    guard before.delivery == .exactlyOnce else {
      return .untouched(stay("delivery is at_least_once, which goes on whatever it finds"))
    }
    guard let committed = before.committed, let logStart = before.logStart, let logEnd = before.logEnd else {
      return .untouched(stay("the group has no offset: a run begins at kafka.start, \(before.start.rawValue)"))
    }
    guard let metadata = found.metadata else { return .step(accept(before, committed, logStart, logEnd)) }
    if committed > logEnd { return .step(startOver(before, committed, logStart)) }
    if before.pending.isEmpty {
      guard committed < logStart else { return .untouched(stay("nothing is wrong that can be seen from here")) }
      return .step(
        OffsetPlan.Step(
          before: before, offset: logStart, metadata: IntentMetadata.nothingPending, skipped: logStart - committed,
          again: 0, blocks: [], remarks: ["retention was faster: offsets \(committed) to \(logStart - 1) are gone"]))
    }
    let blocks = zip(before.pending, counts).map { block, count in
      BlockPlan(block: block, found: count, outcome: outcome(block, count, logStart..<logEnd))
    }
    if blocks.allSatisfy({ $0.outcome == .left || (!isForced && $0.outcome == .settled) }) {
      return .untouched(
        stay(
          "a run settles the pending blocks by itself; one that stopped on them all the same needs a choice with --topic",
          blocks))
    }
    if blocks.contains(where: { if case .undecided = $0.outcome { true } else { false } }) {
      return .refused(stay("choose --take-as-landed or --insert-again", blocks))
    }
    return write(metadata, before, committed, blocks, logStart..<logEnd, &random).map { .step($0) }
      ?? .refused(stay("what is left of its blocks does not fit beside the offset", blocks))
  }

  // MARK: Commits that are not ours, and logs that are not the same

  private func accept(
    _ before: PartitionOffsets, _ committed: Int64, _ logStart: Int64, _ logEnd: Int64
  ) -> OffsetPlan.Step {
    let offset = committed > logEnd ? logStart : max(committed, logStart)
    var remarks = [
      "the offset stands as the other program has set it; blocks that were in doubt before that are not known any more"
    ]
    if committed > logEnd { remarks.append("the log ends at \(logEnd), before it: reading begins where the log does") }
    return OffsetPlan.Step(
      before: before, offset: offset, metadata: IntentMetadata.nothingPending, skipped: max(0, logStart - committed),
      again: 0, blocks: [], remarks: remarks)
  }

  private func startOver(_ before: PartitionOffsets, _ committed: Int64, _ logStart: Int64) -> OffsetPlan.Step {
    OffsetPlan.Step(
      before: before, offset: logStart, metadata: IntentMetadata.nothingPending, skipped: 0, again: 0,
      blocks: before.pending.map { BlockPlan(block: $0, found: nil, outcome: .givenUp) },
      remarks: [
        "the log ends before offset \(committed): it is read from its beginning, as of a topic that was made again. "
          + "If it is the old one and has lost its end, use 'offsets reset --to latest' instead"
      ])
  }

  // MARK: Blocks

  private func outcome(
    _ block: PendingBlock, _ count: FoundRows?, _ log: Range<Int64>
  ) -> BlockPlan.Outcome {
    let missing = block.rows - min(count?.all ?? 0, block.rows)
    // Its views stop a run that finds its rows.
    let isHidden = count.map { $0.hasViews && $0.table > 0 } ?? false
    if missing == 0, !isHidden { return .settled }
    if block.offsets.upperBound < log.lowerBound { return .lost(missing) }
    let isWhole = block.offsets.lowerBound >= log.lowerBound && block.offsets.upperBound < log.upperBound
    if isWhole, !isForced {
      let isSentBlindly = block.windowLeft.map { $0 > .zero } ?? false
      // A run that counts makes what is missing.
      let isCompleted = block.isCounted && count != nil
      // Its dead letters are there before its rows, and are not sent again.
      if block.declaredAt == nil || isSentBlindly || isCompleted || count?.table == 0 { return .left }
    }
    switch choice {
    case nil: return .undecided(lost: missing, doubled: count?.table ?? block.rows)
    case .takeAsLanded: return .taken(lost: missing)
    case .insertAgain: return .again(doubled: count?.table ?? block.rows)
    }
  }

  private func write(
    _ metadata: IntentMetadata, _ before: PartitionOffsets, _ committed: Int64, _ blocks: [BlockPlan],
    _ log: Range<Int64>, _ random: inout some RandomNumberGenerator
  ) -> OffsetPlan.Step? {
    var outcomes = blocks.map(\.outcome)[...]
    var pieces: [Piece] = []
    var gone = Int64(0)
    for intent in metadata.intents {
      let range = intent.first...intent.last
      switch intent.isDone ? .settled : outcomes.removeFirst() {
      case .left: pieces.append(.kept(intent))
      case .again:
        // What the log no longer has cannot be made again.
        let start = max(range.lowerBound, log.lowerBound)
        if start > range.lowerBound { pieces.append(.done(range.lowerBound...start - 1)) }
        gone += start - range.lowerBound
        pieces.append(.again(start...range.upperBound))
      default: pieces.append(.done(range))
      }
    }
    var offset = committed
    while case .done(let range) = pieces.first {
      offset = range.upperBound + 1
      pieces.removeFirst()
    }
    // Nothing stands behind the log's end, or the next run would begin there.
    pieces.removeAll { $0.range.lowerBound >= log.upperBound }
    if case .done(let range) = pieces.last, range.upperBound >= log.upperBound {
      pieces[pieces.count - 1] = .done(range.lowerBound...log.upperBound - 1)
    }
    // At the end they are cut anew, as if nobody had read them.
    while case .again = pieces.last { pieces.removeLast() }
    let text = pieces.isEmpty ? IntentMetadata.nothingPending : encode(metadata, pieces, &random)
    guard let text else { return nil }
    for plan in blocks {
      if case .lost = plan.outcome { gone += plan.block.offsets.upperBound - plan.block.offsets.lowerBound + 1 }
    }
    // Retention may have taken more than the blocks.
    if pieces.isEmpty, offset < log.lowerBound {
      gone += log.lowerBound - offset
      offset = log.lowerBound
    }
    return OffsetPlan.Step(
      before: before, offset: min(offset, log.upperBound), metadata: text, skipped: gone, again: 0, blocks: blocks,
      remarks: blocks.contains { $0.block.offsets.upperBound >= log.upperBound }
        ? [
          "the log ends at \(log.upperBound), before a block does. If the topic was made again, use "
            + "'offsets reset --to earliest --give-up-pending' instead"
        ] : [])
  }

  private func encode(
    _ metadata: IntentMetadata, _ pieces: [Piece], _ random: inout some RandomNumberGenerator
  ) -> String? {
    var metadata = metadata
    // Blocks that are cut from here on have other tokens than those that were given up.
    metadata.lineage =
      metadata.lineage & DeliveryTarget.identifiedBit == 0
      ? .random(in: 1..<DeliveryTarget.identifiedBit, using: &random)
      : metadata.lineage & DeliveryTarget.identityMask | .random(in: 0..<(1 << 32), using: &random)
    metadata.nonce = .random(in: 0 ... .max, using: &random)
    metadata.intents = pieces.map { piece in
      let range = piece.range
      switch piece {
      case .done: return .done(first: range.lowerBound, last: range.upperBound)
      case .kept(let intent): return intent
      case .again:
        return Intent(
          first: range.lowerBound, last: range.upperBound, rows: Int(range.upperBound - range.lowerBound + 1),
          declaredAt: nil,
          token: DeduplicationToken(
            high: .random(in: 0 ... .max, using: &random), low: .random(in: 0 ... .max, using: &random)), isDead: false)
      }
    }
    return metadata.encoded()
  }
}
