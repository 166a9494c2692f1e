internal import KafkaClient

/// What a reset does to a partition: a pure function of what was found.
enum ResetPlanner {
  enum Verdict {
    case step(OffsetPlan.Step)
    case untouched(OffsetPlan.Stay)
    case refused(OffsetPlan.Stay)
  }

  /// - Parameter atTime: where the log was at the wanted time; nil where no record is as new, or no time is wanted.
  static func plan(_ reset: OffsetReset, _ found: FoundPartition, atTime: Int64?) -> Verdict {
    let before = found.offsets
    func refuse(_ reason: String) -> Verdict {
      .refused(OffsetPlan.Stay(before: before, reason: reason, blocks: []))
    }
    guard let logStart = before.logStart, let logEnd = before.logEnd else {
      guard case .unknown(let reason) = before.trouble else { return refuse("its log is not known") }
      return refuse(reason)
    }
    var remarks: [String] = []
    let wanted: Int64
    switch reset.target {
    case .earliest: wanted = logStart
    case .latest: wanted = logEnd
    case .offset(let offset): wanted = offset
    case .time:
      wanted = atTime ?? logEnd
      if atTime == nil { remarks.append("no record is as new: set to the log's end") }
    case .shift(let count):
      guard let committed = before.committed else {
        return refuse("the group has no offset to count from: give an offset, a time, earliest or latest")
      }
      let (sum, overflows) = committed.addingReportingOverflow(count)
      wanted = overflows ? (count < 0 ? logStart : logEnd) : sum
    }
    let offset = min(max(wanted, logStart), logEnd)
    if offset != wanted {
      remarks.append("the log has no offset \(wanted): set to where it \(offset > wanted ? "begins" : "ends")")
    }
    let doubtful = before.pending.filter { $0.declaredAt != nil }
    guard reset.givesUpPending || doubtful.isEmpty else {
      let rows = doubtful.reduce(0) { $0 + $1.rows }
      return refuse(
        "\(doubtful.count == 1 ? "a block" : "\(doubtful.count) blocks") of \(rows) rows \(doubtful.count == 1 ? "is" : "are")"
          + " in doubt: a run settles that first. With --give-up-pending nobody will ever know whether they are in the table"
      )
    }
    if offset == before.committed, before.commit != .foreign, before.pending.isEmpty, before.done.isEmpty {
      return .untouched(OffsetPlan.Stay(before: before, reason: "stands there already", blocks: []))
    }
    if before.commit == .foreign { remarks.append("the offset that the group holds was committed by another program") }
    return .step(
      OffsetPlan.Step(
        before: before, offset: offset, metadata: IntentMetadata.nothingPending,
        skipped: skipped(before, to: offset), again: again(before, from: offset),
        blocks: before.pending.map { BlockPlan(block: $0, found: nil, outcome: .givenUp) }, remarks: remarks))
  }

  /// Offsets from the frontier up to where reading begins that are not accounted for.
  static func skipped(_ before: PartitionOffsets, to offset: Int64) -> Int64 {
    guard let position = before.position, offset > position else { return 0 }
    return before.done.reduce(offset - position) { $0 - overlap($1, position, offset) }
  }

  /// Offsets behind the new one that are accounted for.
  static func again(_ before: PartitionOffsets, from offset: Int64) -> Int64 {
    guard let committed = before.committed else { return 0 }
    return before.done.reduce(max(0, committed - offset)) { $0 + overlap($1, max(offset, committed), .max) }
  }

  /// How many offsets of a range lie from `low` up to before `high`.
  private static func overlap(_ range: ClosedRange<Int64>, _ low: Int64, _ high: Int64) -> Int64 {
    max(0, min(range.upperBound, high - 1) - max(range.lowerBound, low) + 1)
  }
}
