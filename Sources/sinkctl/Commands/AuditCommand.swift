internal import ClickHouseClient
internal import KafkaClient
internal import Pipeline
internal import SinkBytes
internal import SinkTelemetry

enum AuditCommand {
  static let command = Command(
    name: "audit", summary: "Looks for every offset of the topics in the tables: each there once, and only once?",
    discussion: """
      Reads the log once, decodes it as 'run' would, and compares with the tables and the dead letters: every offset must
      be a row, a dead letter, filtered, or a tombstone, exactly once. It changes nothing; 'run' may be at work meanwhile.

      By default it looks at what the group has committed, from the start of the log on. Missing and doubled offsets are
      listed as ranges, and it exits with 1 where there are any. Tables need the columns _topic, _partition and _offset.
      See docs/AUDIT.md.
      """,
    options: [
      Command.config,
      .init(
        "topic", "TOPIC", "Only this one, or one partition of it, such as events/0; may be repeated.",
        isRepeatable: true),
      .init("partitions", "LIST", "Only these, such as 0,1,5-9."),
      .init("from", "OFFSET|TIME", "The first offset, or a time such as 2026-11-24T10:00:00Z."),
      .init("to", "OFFSET|TIME", "The first offset that is left out, or a time; may lie beyond what is committed."),
      .init("all", nil, "Every partition and every range of findings, not the first ones only."),
      .init("json", nil, "One JSON object, for machines."),
    ],
    examples: [
      "sinkctl audit --config sinkctl.yaml",
      "sinkctl audit --config sinkctl.yaml --topic events --partitions 0-3 --from 2026-11-24T00:00:00Z --json",
    ]
  ) { arguments in
    let request: AuditRequest
    do throws(UsageProblem) {
      request = try Self.request(arguments)
    } catch {
      Terminal.error("sinkctl: \(error.message)")
      return .usage
    }
    guard let loaded = RunCommand.load(arguments) else { return .configuration }
    var configuration = loaded.pipeline
    // What goes as it should is told by the answer.
    let level = max(loaded.logLevel, .warning)
    configuration.logger = loaded.logWriter.logger("pipeline", level: level)
    configuration.kafka.logger = loaded.logWriter.logger("kafka", level: level)
    configuration.clickhouse.logger = loaded.logWriter.logger("clickhouse", level: level)
    return await run(configuration, request, arguments)
  }

  private static func run(
    _ configuration: PipelineConfiguration, _ request: AuditRequest, _ arguments: Arguments
  ) async -> ExitCode {
    do throws(PipelineError) {
      let progress = AuditProgressLine(isInteractive: Terminal.isInteractive)
      let report = try await Pipeline(configuration).audit(request) { progress.show($0) }
      progress.end()
      let text = AuditText(report: report, configuration: configuration, showsAll: arguments.has("all"))
      Terminal.out(arguments.has("json") ? text.json : text.table)
      return report.isClean ? .done : .findings
    } catch {
      Terminal.showProgress("")
      Terminal.error((["sinkctl: \(error.message)"] + error.details.map { "  - \($0)" }).joined(separator: "\n"))
      return ExitCode(error)
    }
  }

  /// What `--all` keeps: a hundred megabytes at most.
  static let allFindings = 1_000_000

  static func request(_ arguments: Arguments) throws(UsageProblem) -> AuditRequest {
    var request = AuditRequest(
      topics: arguments.has("topic") ? arguments.values("topic") : nil,
      partitions: try arguments.value("partitions").map(partitions), from: try bound("from", arguments),
      to: try bound("to", arguments), findingsMax: arguments.has("all") ? allFindings : AuditText.shownFindings)
    guard let topics = request.topics, let partition = topics.first(where: { $0.contains("/") }) else { return request }
    guard topics.count == 1 else {
      throw UsageProblem(message: "--topic '\(partition)' goes with no other --topic: --partitions is for all of them")
    }
    let selection = try OffsetArguments.selection(arguments)
    request.topics = selection.topic.map { [$0] }
    request.partitions = selection.partitions
    return request
  }

  static func partitions(_ text: String) throws(UsageProblem) -> Set<Int32> {
    var numbers: Set<Int32> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { Int32($0) }
      // Kafka itself would not take more partitions.
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, 0 <= first, first <= last, last <= 1_000_000
      else { throw UsageProblem(message: "--partitions '\(text)' must be numbers and ranges, such as 0,1,5-9.") }
      numbers.formUnion(first...last)
    }
    return numbers
  }

  static func bound(_ name: String, _ arguments: Arguments) throws(UsageProblem) -> AuditRequest.Bound? {
    guard let text = arguments.value(name) else { return nil }
    if let offset = Int64(text), offset >= 0 { return .offset(offset) }
    var bytes = Array(text.utf8)
    guard Int64(text) == nil,
      let time = unsafe bytes.withUnsafeMutableBytes({ unsafe DateTimeText(UnsafeRawBufferPointer($0)) })
    else {
      throw UsageProblem(
        message:
          "--\(name) '\(text)' must be an offset, or a time such as 2026-11-24T10:00:00Z (UTC where it has no zone).")
    }
    return .time(milliseconds: time.millisecondsSinceEpoch)
  }
}

extension DateTimeText {
  /// UTC where the text names no zone.
  var millisecondsSinceEpoch: Int64 {
    var fraction = Int64(fraction)
    for _ in 0..<max(0, 3 - fractionDigits) { fraction *= 10 }
    for _ in 0..<max(0, fractionDigits - 3) { fraction /= 10 }
    return (localSeconds - Int64(offsetSeconds ?? 0)) * 1000 + fraction
  }
}
