internal import ClickHouseClient
internal import KafkaClient
internal import Pipeline
internal import SinkTelemetry

enum OffsetsCommand {
  static let command = Command(
    name: "offsets", summary: "Shows what the group has committed for the routes' partitions, or sets it anew.",
    discussion: """
      Without an operand: for each partition the committed offset (all below is in its table or accounted for), where the
      log begins and ends, the lag, the blocks that are on their way, and how long these may still be sent again without
      looking. It joins no group and works while others run. Exits with 1 where a partition cannot go on: 'sinkctl recover'.

      'offsets reset' sets the offsets: dry by default, it shows what would be skipped and what would be read again; with
      --yes it writes and reads back. The group must have no members: stop every 'run' first. One with an instance id stays
      a member until its session is over (kafka.session_timeout after it ended); --wait waits for that. Records that are
      read again are inserted again, so their rows are there twice unless you delete them first. Where a block is in doubt
      it is refused: start 'run', which settles that, or say --give-up-pending.
      Exits with 0 where all is written (dry: would be), 1 where something is refused, 75 while the group has members.
      """,
    options: [
      Command.config, .init("json", nil, "One JSON object, for machines."),
      .init("topic", "TOPIC", "Only this one, or one partition of it, such as events/0."),
      .init("partitions", "LIST", "Only these of the topic, such as 0,1,5-9."),
      .init(
        "to", "PLACE",
        "reset: earliest, latest, an offset, +N or -N from the committed one, or a time: 2026-11-24T10:00:00Z."),
      .init("give-up-pending", nil, "reset: also where blocks are in doubt; their rows may be there or not."),
      .init("wait", "TIME", "reset: wait so long for the group to have no members, such as 60s."),
      .init("dry-run", nil, "reset: show what would be done; the default."), .init("yes", nil, "reset: do it."),
    ],
    operands: "[reset]",
    examples: [
      "sinkctl offsets --config sinkctl.yaml",
      "sinkctl offsets reset --config sinkctl.yaml --topic events --to 2026-11-24T10:00:00Z",
      "sinkctl offsets reset --config sinkctl.yaml --topic events --partitions 0,3 --to -1000 --yes --wait 60s",
    ]
  ) { arguments in
    do throws(UsageProblem) {
      let selection = try OffsetArguments.selection(arguments)
      guard arguments.operands != ["reset"] else { return await reset(try request(arguments, selection), arguments) }
      if let word = arguments.operands.first {
        throw UsageProblem(message: "offsets takes 'reset' or nothing, not '\(word)'")
      }
      for name in ["to", "give-up-pending", "wait", "dry-run", "yes"] where arguments.has(name) {
        throw UsageProblem(message: "--\(name) goes with 'offsets reset'")
      }
      return await show(selection, arguments)
    } catch {
      return OffsetsRun.usage(error, "offsets")
    }
  }

  private struct Request {
    let reset: OffsetReset
    let wait: Duration?
    let isWriting: Bool
  }

  private static func request(
    _ arguments: Arguments, _ selection: PartitionSelection
  ) throws(UsageProblem) -> Request {
    guard let to = arguments.value("to") else {
      throw UsageProblem(message: "offsets reset needs --to PLACE: earliest, latest, an offset, +N, -N or a time")
    }
    return Request(
      reset: OffsetReset(
        to: try OffsetArguments.target(to), of: selection, givesUpPending: arguments.has("give-up-pending")),
      wait: try OffsetArguments.wait(arguments.value("wait")), isWriting: try OffsetArguments.isWriting(arguments))
  }

  private static func show(_ selection: PartitionSelection, _ arguments: Arguments) async -> ExitCode {
    await OffsetsRun.with(arguments) { pipeline throws(PipelineError) in
      let offsets = try await pipeline.offsets(of: selection)
      Terminal.out(
        arguments.has("json")
          ? OffsetsJSON.text(offsets) : OffsetsText.describe(offsets, config: arguments.value("config") ?? ""))
      return offsets.partitions.contains { $0.trouble != nil } ? .findings : .done
    }
  }

  private static func reset(_ request: Request, _ arguments: Arguments) async -> ExitCode {
    await OffsetsRun.with(arguments) { pipeline throws(PipelineError) in
      if let wait = request.wait { try await pipeline.waitForEmptyGroup(within: wait) }
      let plan = try await pipeline.plan(request.reset)
      return try await OffsetsRun.carryOut(plan, pipeline, isWriting: request.isWriting, arguments)
    }
  }
}

/// What `offsets` and `recover` share.
enum OffsetsRun {
  static func usage(_ problem: UsageProblem, _ command: String) -> ExitCode {
    Terminal.error("sinkctl: \(problem.message). 'sinkctl \(command) --help' tells more.")
    return .usage
  }

  /// With the file's pipeline; what ends it is said as `run` would.
  static func with(
    _ arguments: Arguments, _ body: (Pipeline) async throws(PipelineError) -> ExitCode
  ) async -> ExitCode {
    guard var configuration = RunCommand.load(arguments) else { return .configuration }
    // What they tell is on standard output.
    let writer = configuration.logWriter
    configuration.pipeline.logger = writer.logger("pipeline", level: .warning)
    configuration.pipeline.kafka.logger = writer.logger("kafka", level: .critical)
    configuration.pipeline.clickhouse.logger = writer.logger("clickhouse", level: .warning)
    do throws(PipelineError) {
      return try await body(try Pipeline(configuration.pipeline))
    } catch {
      writer.fail(error.code.rawValue, error.message, details: error.details)
      return ExitCode(error)
    }
  }

  /// Shows a plan, and does it where that is wanted and possible.
  static func carryOut(
    _ plan: OffsetPlan, _ pipeline: Pipeline, isWriting: Bool, _ arguments: Arguments
  ) async throws(PipelineError) -> ExitCode {
    let members = plan.membership?.members ?? []
    let isPossible = plan.refused.isEmpty && !plan.steps.isEmpty
    let isWritten = isWriting && isPossible && members.isEmpty
    if isWritten { try await pipeline.apply(plan) }
    Terminal.out(
      arguments.has("json")
        ? OffsetsJSON.text(plan, isWritten: isWritten)
        : PlanText.describe(plan, isWritten: isWritten, isWriting: isWriting))
    guard plan.refused.isEmpty else { return .findings }
    guard isPossible, !members.isEmpty else { return .done }
    return .busy
  }
}
