internal import Pipeline

/// What an audit has found, for people and for machines.
struct AuditText {
  /// Without `--all`.
  static let shownFindings = 20
  private static let shownPartitions = 20

  let report: AuditReport
  let configuration: PipelineConfiguration
  let showsAll: Bool

  // MARK: For people

  var table: String {
    var lines: [String] = []
    let shown = shownPartitions
    lines += Self.grid(shown, report)
    if shown.count < report.partitions.count {
      let hidden = report.partitions.count - shown.count
      lines.append("\(hidden) more \(Self.noun(hidden, "partition")), where all is well; --all lists them")
    }
    lines += findings
    lines += report.notes.map { "note: \($0)" }
    for partition in shown { lines += partition.notes.map { "note: \(partition.name): \($0)" } }
    lines += remarks
    lines.append(verdict)
    return lines.joined(separator: "\n")
  }

  /// Those with something to tell first.
  private var shownPartitions: [AuditReport.Partition] {
    guard !showsAll, report.partitions.count > Self.shownPartitions else { return report.partitions }
    let telling = report.partitions.filter { !$0.tally.isClean || !$0.notes.isEmpty }
    return telling.isEmpty ? Array(report.partitions.prefix(Self.shownPartitions)) : telling
  }

  private static let columns: [(title: String, value: @Sendable (AuditTally) -> Int)] = [
    ("rows", { $0.rows }), ("dead letters", { $0.deadLetters }), ("skipped", { $0.skipped }),
    ("filtered", { $0.filtered }), ("tombstones", { $0.tombstones }), ("not in log", { $0.notInLog }),
    ("missing", { $0.missing }), ("doubled", { $0.doubled }),
  ]

  /// Columns that are 0 throughout are left out, but for what an audit is about.
  private static func grid(_ partitions: [AuditReport.Partition], _ report: AuditReport) -> [String] {
    let total = report.tally
    let columns = columns.filter { ["rows", "missing", "doubled"].contains($0.title) || $0.value(total) > 0 }
    var rows = [["partition", "offsets"] + columns.map(\.title)]
    for partition in partitions {
      let range = partition.range
      let offsets = range.isEmpty ? "none" : "\(range.lowerBound)–\(range.upperBound - 1)"
      rows.append([partition.name, offsets] + columns.map { ProgressLine.grouped($0.value(partition.tally)) })
    }
    if report.partitions.count > 1 {
      rows.append(["all", ProgressLine.grouped(total.offsets)] + columns.map { ProgressLine.grouped($0.value(total)) })
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      row.enumerated().map { column, text in
        let space = String(repeating: " ", count: widths[column] - text.count)
        return column == 0 ? text + space : space + text
      }.joined(separator: "  ")
    }
  }

  private var findings: [String] {
    var lines: [String] = []
    let all = report.partitions.flatMap { partition in partition.findings.map { (partition, $0) } }
    for (partition, finding) in showsAll ? all : Array(all.prefix(Self.shownFindings)) {
      lines.append("\(finding.title): \(partition.name) \(finding.place)\(finding.explanation)")
    }
    let hidden = report.partitions.reduce(0) { $0 + $1.findingsInAll } - lines.count
    if hidden > 0 {
      lines.append(
        "… and \(ProgressLine.grouped(hidden)) \(Self.noun(hidden, "range")) more"
          + (showsAll ? "" : "; --all lists them"))
    }
    let strays = report.partitions.flatMap { partition in partition.notInLog.map { (partition, $0) } }
    for (partition, stray) in showsAll ? strays : Array(strays.prefix(5)) {
      lines.append("\(stray.title): \(partition.name) \(stray.place)\(stray.explanation)")
    }
    return lines
  }

  private var remarks: [String] {
    let tally = report.tally
    var lines: [String] = []
    func remark(_ count: Int, _ words: String) {
      if count > 0 { lines.append("note: \(ProgressLine.grouped(count)) \(words)") }
    }
    remark(
      tally.keptThoughNotInLog,
      "offsets are in the table, and the log has no record of them: compacted away since, or never visible to readers")
    remark(
      tally.elsewhere,
      "offsets are there once, but not where this configuration would put them: was it, or the table, another one then?"
    )
    remark(
      tally.repeatedDeadLetters,
      "dead letters in a topic are repeats, which happens after a crash: there they are kept at least once")
    return lines
  }

  var verdict: String {
    let tally = report.tally
    let offsets = ProgressLine.grouped(tally.offsets)
    if tally.offsets == 0 { return "there is nothing to verify: no offset of the range is in the log" }
    guard !report.isClean else {
      return "every offset is accounted for once: \(offsets) in \(report.partitions.count) "
        + Self.noun(report.partitions.count, "partition")
    }
    return
      "of \(offsets) offsets \(Self.are(tally.missing)) missing, and \(Self.are(tally.doubled)) there more than once"
  }

  private static func are(_ count: Int) -> String {
    count == 0 ? "none is" : "\(ProgressLine.grouped(count)) \(count == 1 ? "is" : "are")"
  }

  static func noun(_ count: Int, _ word: String) -> String { count == 1 ? word : word + "s" }
}

extension AuditReport.Partition {
  /// As our log lines name it.
  var name: String { "\(topic)/\(partition)" }
}

extension AuditFinding {
  var title: String {
    switch kind {
    case .missingRow, .missingDeadLetter: "missing"
    case .doubled: "doubled"
    case .notInLog: "not in log"
    }
  }

  /// The stable name.
  var code: String {
    switch kind {
    case .missingRow: "missing_row"
    case .missingDeadLetter: "missing_dead_letter"
    case .doubled: "doubled"
    case .notInLog: "not_in_log"
    }
  }

  var place: String {
    let range = firstOffset == lastOffset ? "\(firstOffset)" : "\(firstOffset)–\(lastOffset)"
    return offsets == 1 ? range : "\(range) (\(ProgressLine.grouped(offsets)) offsets)"
  }

  var explanation: String {
    switch kind {
    case .missingRow: ": should be in the table"
    case .missingDeadLetter: ": cannot be a row, should be a dead letter"
    case .doubled(let rows, 0): ": \(rows) rows"
    case .doubled(let rows, let letters):
      ": \(rows) \(AuditText.noun(rows, "row")), \(letters) dead \(AuditText.noun(letters, "letter"))"
    case .notInLog: ": in the table or among the dead letters, and no record of the log"
    }
  }
}
