/// Which offsets of a partition an audit can look at, and what has to be said about it. Pure.
struct AuditRangePolicy: Sendable {
  /// Of the log, as the isolation level sees it.
  let log: Range<Int64>
  let committed: Int64?
  /// What the table has of the partition.
  let table: TableOffsets.Extent?
  /// Resolved to offsets; nil where nothing was asked for.
  let from: Int64?
  let to: Int64?
  /// Whether the group begins where the log does.
  let startsAtLogStart: Bool

  func resolve() -> (range: Range<Int64>, notes: [String]) {
    var notes: [String] = []
    let end = end(&notes)
    let start = start(&notes)
    if let table, table.last >= log.upperBound {
      notes.append(
        "the table has offsets up to \(table.last), and the log ends at \(log.upperBound): was the topic made again, or "
          + "does the table hold rows of another cluster?")
    }
    if let table, table.rowsBelow > 0 {
      notes.append(
        "\(table.rowsBelow) rows are of offsets below the log's start (\(log.lowerBound)): counted, they cannot be verified"
      )
    }
    return (start..<max(start, end), notes)
  }

  private func end(_ notes: inout [String]) -> Int64 {
    if let committed, committed > log.upperBound {
      notes.append(
        "the group has committed \(committed), and the log ends at \(log.upperBound): was the topic made again?")
    }
    if let to {
      if to > log.upperBound { notes.append("the log ends at \(log.upperBound), before \(to)") }
      if to > committed ?? 0, log.upperBound > committed ?? 0 {
        notes.append(
          "the group has committed \(committed.map(String.init) ?? "nothing"): what lies beyond may be on its way")
      }
      return min(to, log.upperBound)
    }
    guard let committed else {
      if !log.isEmpty { notes.append("the group has committed nothing here: there is nothing to verify") }
      return log.lowerBound
    }
    if committed < log.lowerBound {
      notes.append(
        "the group has committed \(committed), and the log starts at \(log.lowerBound): retention has taken what lies "
          + "between before it was read")
    }
    return min(committed, log.upperBound)
  }

  private func start(_ notes: inout [String]) -> Int64 {
    if let from {
      if from < log.lowerBound {
        notes.append("the log starts at \(log.lowerBound): what lies below cannot be verified")
      }
      return max(from, log.lowerBound)
    }
    guard !startsAtLogStart else { return log.lowerBound }
    guard let table, table.first > log.lowerBound else { return log.lowerBound }
    notes.append(
      "from the table's first offset \(table.first), since kafka.start is not earliest; --from takes another")
    return min(table.first, log.upperBound)
  }
}
