internal import KafkaClient
internal import Pipeline

/// `offsets` for people.
enum OffsetsText {
  static func describe(_ offsets: PipelineOffsets, config: String) -> String {
    var lines = [groupLine(offsets.group, offsets.membership)]
    for member in offsets.membership?.members ?? [] { lines.append("  " + memberLine(member)) }
    var table = TextTable([
      ("partition", .left), ("table", .left), ("committed", .right), ("log begins", .right), ("log ends", .right),
      ("lag", .right), ("pending", .left), ("commit", .left),
    ])
    for partition in offsets.partitions { table.add(row(partition)) }
    lines += ["", table.text]
    if offsets.partitions.count > 1 { lines.append("lag of all: \(number(offsets.lag))") }
    let details = offsets.partitions.flatMap { Self.details($0, config) } + sharedBlocks(offsets.partitions)
    if !details.isEmpty { lines += [""] + details }
    if !offsets.notes.isEmpty { lines += [""] + offsets.notes.map { "note: \($0)" } }
    return lines.joined(separator: "\n")
  }

  static func groupLine(_ name: String, _ group: KafkaAdmin.Group?) -> String {
    guard let group else { return "group \(name)" }
    switch group.state {
    case .dead: return "group \(name): there is none of that name yet"
    case .empty: return "group \(name): Empty, nobody is in it"
    default: return "group \(name): \(group.state.rawValue), \(counted(group.members.count, "member"))"
    }
  }

  static func memberLine(_ member: KafkaAdmin.GroupMember) -> String {
    let topics = Dictionary(grouping: member.partitions, by: \.topic).sorted { $0.key < $1.key }
    let places = topics.map { "\($0.key)/\($0.value.map { "\($0.partition)" }.joined(separator: ","))" }
    return "\(member.instanceID ?? member.id) at \(member.host.drop { $0 == "/" })"
      + (places.isEmpty ? "" : ": \(places.joined(separator: " "))")
  }

  private static func row(_ partition: PartitionOffsets) -> [String] {
    let rows = partition.pending.reduce(0) { $0 + $1.rows }
    return [
      partition.partition.description, partition.table, number(partition.committed), number(partition.logStart),
      number(partition.logEnd), number(partition.lag),
      partition.pending.isEmpty ? "-" : "\(counted(partition.pending.count, "block")), \(counted(rows, "row"))",
      words(partition.commit),
    ]
  }

  private static func words(_ commit: PartitionOffsets.Commit) -> String {
    switch commit {
    case .none: "none"
    case .plain: "ours, nothing pending"
    case .intents: "ours"
    case .foreign: "of another program"
    }
  }

  private static func details(_ partition: PartitionOffsets, _ config: String) -> [String] {
    let name = partition.partition.description
    var lines = partition.pending.filter { $0.parts == 1 }.map { "\(name)  \(shape($0))\(prospect($0))" }
    lines += partition.done.map { "\(name)  offsets \(range($0)) are accounted for already" }
    if let trouble = partition.trouble {
      lines.append("\(name)  \(words(trouble, partition))")
      if case .unknown = trouble { return lines }
      lines.append("\(name)  what to do: sinkctl recover --config \(config) --topic \(name)")
    }
    return lines
  }

  static func words(_ trouble: PartitionOffsets.Trouble, _ partition: PartitionOffsets) -> String {
    switch trouble {
    case .foreignCommit:
      let text = partition.metadata.prefix(60)
      return "another program has committed this offset (its metadata is '\(Self.clean(String(text)))'"
        + "\(text.count < partition.metadata.count ? "…" : ""))"
    case .lostToRetention(let missing):
      return "the log begins behind the committed offset: retention has taken \(counted(Int(missing), "offset"))"
    case .beyondLog:
      return
        "the log ends at \(number(partition.logEnd)), before what was read from it: it was made again, or lost its end"
    case .unknown(let reason): return reason
    }
  }

  /// What becomes of a block by itself.
  private static func prospect(_ block: PendingBlock) -> String {
    guard block.age != nil else { return "" }
    if block.isBroken { return ", nobody can send it whole any more: the next run counts each part first" }
    if block.isCounted { return ": the next run counts it, and inserts what is missing" }
    if block.isOfOtherMapping { return ", of another mapping or table: the next run counts it first" }
    guard let left = block.windowLeft else { return ", how long it may be sent again is not known" }
    return left > .zero
      ? ", may be sent again for \(spell(left)) more" : ", too old to be sent again: the next run counts it first"
  }

  static func shape(_ block: PendingBlock) -> String {
    let rows = block.isDeadLetter ? "a dead letter" : counted(block.rows, "row")
    let part = block.parts > 1 ? ", a part of a block of \(block.parts) partitions" : ""
    return "offsets \(range(block.offsets)): \(rows), \(age(block))\(part)"
  }

  private static func age(_ block: PendingBlock) -> String {
    block.age.map { "declared \(spell($0)) ago" } ?? "not sent yet"
  }

  /// Blocks of several partitions, once each.
  private static func sharedBlocks(_ partitions: [PartitionOffsets]) -> [String] {
    let parts = partitions.flatMap { partition in
      partition.pending.filter { $0.parts > 1 }.map { (partition: partition.partition, block: $0) }
    }
    let blocks = Dictionary(grouping: parts) { "\(age($0.block)) \($0.block.token)\(prospect($0.block))" }
    return blocks.values.sorted { $0[0].partition < $1[0].partition }.map { parts in
      let block = parts[0].block
      let gone = block.parts - 1 - block.others.count
      let seen = gone > 0 ? " (\(gone) no longer \(gone == 1 ? "has" : "have") it)" : ""
      let ranges = parts.map { "\($0.partition) \(range($0.block.offsets))" }.joined(separator: ", ")
      return "a block of \(block.parts) partitions\(seen), \(age(block))\(prospect(block))\n    "
        + "\(ranges): \(counted(parts.reduce(0) { $0 + $1.block.rows }, "row"))"
    }
  }

  static func number(_ value: Int64?) -> String { value.map { ProgressLine.grouped(Int($0)) } ?? "-" }

  static func range(_ range: ClosedRange<Int64>) -> String {
    range.lowerBound == range.upperBound
      ? number(range.lowerBound) : "\(number(range.lowerBound))–\(number(range.upperBound))"
  }

  static func counted(_ count: Int, _ noun: String) -> String {
    "\(ProgressLine.grouped(count)) \(noun)\(count == 1 ? "" : "s")"
  }

  static func spell(_ duration: Duration) -> String {
    let seconds = Int(duration.components.seconds)
    switch seconds {
    case ..<120: return "\(seconds) s"
    case ..<7200: return "\(seconds / 60) min"
    case ..<172_800: return "\(seconds / 3600) h"
    default: return "\(seconds / 86_400) days"
    }
  }

  /// Another program's bytes must not steer a terminal.
  private static func clean(_ text: String) -> String {
    String(text.unicodeScalars.map { JSONText.isControl($0) ? "?" : Character($0) })
  }
}

/// Columns that stand under each other.
struct TextTable {
  enum Side { case left, right }

  private let columns: [(name: String, side: Side)]
  private var rows: [[String]] = []

  init(_ columns: [(name: String, side: Side)]) { self.columns = columns }

  mutating func add(_ row: [String]) { rows.append(row) }

  var text: String {
    let all = [columns.map(\.name)] + rows
    let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    return all.map { row in
      var line = zip(zip(row, widths), columns).map { cell, column in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return column.side == .left ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }
}
