internal import ClickHouseClient
internal import KafkaClient
internal import Pipeline

/// What a reset or a recovery does, for people.
enum PlanText {
  static func describe(_ plan: OffsetPlan, isWritten: Bool, isWriting: Bool) -> String {
    var sections = [OffsetsText.groupLine(plan.group, plan.membership)]
    if !plan.steps.isEmpty { sections.append(table(plan.steps)) }
    let details =
      plan.steps.flatMap(details) + stays(plan.refused, "refused") + stays(plan.untouched, "left as they are")
    if !details.isEmpty { sections.append(details.joined(separator: "\n")) }
    if !plan.notes.isEmpty { sections.append(plan.notes.map { "note: \($0)" }.joined(separator: "\n")) }
    sections.append(ending(plan, isWritten: isWritten, isWriting: isWriting))
    return sections.joined(separator: "\n\n")
  }

  private static func table(_ steps: [OffsetPlan.Step]) -> String {
    var table = TextTable([
      ("partition", .left), ("committed", .right), ("becomes", .right), ("never read", .right), ("read again", .right),
    ])
    for step in steps {
      table.add([
        step.partition.description, OffsetsText.number(step.before.committed), OffsetsText.number(step.offset),
        OffsetsText.number(step.skipped), OffsetsText.number(step.again),
      ])
    }
    return table.text
  }

  private static func details(_ step: OffsetPlan.Step) -> [String] {
    blocks(step.blocks, step.before) + step.remarks.map { "\(step.partition)  \($0)" }
  }

  /// Their blocks, and one line for all that have the same reason.
  private static func stays(_ stays: [OffsetPlan.Stay], _ word: String) -> [String] {
    let reasons = Dictionary(grouping: stays, by: \.reason).sorted { $0.value[0].partition < $1.value[0].partition }
    return stays.flatMap { blocks($0.blocks, $0.before) }
      + reasons.map { reason, stays in
        let names = stays.prefix(8).map(\.partition.description).joined(separator: " ")
        return "\(word): \(names)\(stays.count > 8 ? " and \(stays.count - 8) more" : ""): \(reason)"
      }
  }

  private static func blocks(_ blocks: [BlockPlan], _ before: PartitionOffsets) -> [String] {
    blocks.flatMap { plan in
      var lines = ["\(before.partition)  \(OffsetsText.shape(plan.block))\(found(plan)); \(words(plan))"]
      if case .undecided = plan.outcome, let found = plan.found {
        lines.append(
          found.hasViews
            ? "    neither: compare the materialized views with the table for these offsets; where they have them too, "
              + "--take-as-landed" : "    neither: \(removal(plan.block, before))")
      }
      return lines
    }
  }

  /// What makes --insert-again exact.
  private static func removal(_ block: PendingBlock, _ before: PartitionOffsets) -> String {
    let table = (try? TableName(before.table))?.sql ?? before.table
    return "ALTER TABLE \(table) DELETE WHERE _topic = \(TableName.literal(before.partition.topic)) AND _partition = "
      + "\(before.partition.partition) AND _offset BETWEEN \(block.offsets.lowerBound) AND \(block.offsets.upperBound), "
      + "then --insert-again"
  }

  private static func found(_ plan: BlockPlan) -> String {
    guard let found = plan.found else { return "" }
    let letters = found.deadLetters.map { ", \(OffsetsText.counted($0, "dead letter"))" } ?? ""
    let views = found.hasViews && found.table > 0 ? ", and what its materialized views have cannot be counted" : ""
    return "; \(ProgressLine.grouped(found.table)) in the table\(letters)\(views)"
  }

  private static func words(_ plan: BlockPlan) -> String {
    func rows(_ count: Int) -> String { (plan.found == nil ? "up to " : "") + OffsetsText.counted(count, "row") }
    switch plan.outcome {
    case .settled: return "all there, it counts as inserted"
    case .left: return "the next run settles it by itself"
    case .undecided(let lost, let doubled):
      return "--take-as-landed loses \(rows(lost)), --insert-again doubles \(rows(doubled))"
    case .taken(let lost): return "counts as inserted: \(rows(lost)) lost"
    case .again(let doubled): return "is inserted again: \(rows(doubled)) doubled"
    case .lost(let count): return "the log no longer has it: \(rows(count)) lost"
    case .givenUp: return "given up: its rows may be in the table or not"
    }
  }

  private static func ending(_ plan: OffsetPlan, isWritten: Bool, isWriting: Bool) -> String {
    let members = plan.membership?.members ?? []
    let again = plan.steps.reduce(Int64(0)) { $0 + $1.again }
    let doubles =
      again == 0
      ? ""
      : " What is read again is inserted again: its rows will be there twice, unless you delete them before the next run."
    if isWritten {
      return "Written, and read back: \(OffsetsText.counted(plan.steps.count, "partition")).\(doubles)"
    }
    if !plan.refused.isEmpty { return "Nothing was written\(isWriting ? "" : ", and would not be")." }
    guard !plan.steps.isEmpty else { return "Nothing is to be done." }
    if !members.isEmpty {
      let names = members.prefix(5).map { OffsetsText.memberLine($0) }.joined(separator: "; ")
      return "Nothing was written: the group has \(OffsetsText.counted(members.count, "member")) (\(names)). Stop "
        + "\(members.count == 1 ? "it" : "them") first. One with an instance id stays in the group until its session is "
        + "over, kafka.session_timeout after its process has ended: --wait 60s waits for that."
    }
    return "Nothing was written yet: say it again with --yes.\(doubles)"
  }
}
