internal import Pipeline
internal import SinkBytes

/// What the words of `offsets` and `recover` mean.
enum OffsetArguments {
  /// `--topic events --partitions 0,1,5-9`; or, as we print partitions, `--topic events/0`.
  static func selection(_ arguments: Arguments) throws(UsageProblem) -> PartitionSelection {
    var partitions = try arguments.value("partitions").map(AuditCommand.partitions) ?? []
    guard let topic = arguments.value("topic") else {
      guard partitions.isEmpty else { throw UsageProblem(message: "--partitions goes with --topic") }
      return .all
    }
    let parts = topic.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 2 {
      guard let number = Int32(parts[1]), number >= 0, partitions.isEmpty else {
        throw UsageProblem(message: "--topic '\(topic)' must be a topic, or one partition of it such as events/0")
      }
      partitions = [number]
    }
    return PartitionSelection(topic: String(parts[0]), partitions: partitions)
  }

  static func target(_ text: String) throws(UsageProblem) -> OffsetReset.Target {
    switch text {
    case "earliest": return .earliest
    case "latest": return .latest
    default: break
    }
    let problem = UsageProblem(
      message: "--to '\(text)' is none of earliest, latest, an offset, +N or -N from the committed one, "
        + "or a time such as 2026-11-24T10:00:00Z")
    if let sign = text.first, sign == "+" || sign == "-" {
      guard text.dropFirst().allSatisfy(\.isASCIIDigit), let count = Int64(text) else { throw problem }
      return .shift(count)
    }
    if text.allSatisfy(\.isASCIIDigit), let offset = Int64(text) { return .offset(offset) }
    guard let time = unsafe Array(text.utf8).withUnsafeBytes({ unsafe DateTimeText($0) }) else { throw problem }
    return .time(time.millisecondsSinceEpoch)
  }

  /// How long to wait for the group to be empty; nil: not at all.
  static func wait(_ text: String?) throws(UsageProblem) -> Duration? {
    guard let text else { return nil }
    guard let duration = Quantity.duration(text), duration <= .seconds(3600) else {
      throw UsageProblem(message: "--wait '\(text)' must be a time up to 1h, written as 500ms, 20s or 5m")
    }
    return duration
  }

  /// Whether to write. Without a word nothing is written.
  static func isWriting(_ arguments: Arguments) throws(UsageProblem) -> Bool {
    guard !(arguments.has("yes") && arguments.has("dry-run")) else {
      throw UsageProblem(message: "--yes and --dry-run contradict each other")
    }
    return arguments.has("yes")
  }
}

extension Character {
  fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}
