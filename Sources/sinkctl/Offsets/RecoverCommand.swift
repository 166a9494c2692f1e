internal import Pipeline

enum RecoverCommand {
  static let command = Command(
    name: "recover", summary: "Lets partitions go on that exactly once has stopped.",
    discussion: """
      'run' stops a partition rather than guess. This shows why each one stands still, as far as it can be seen from
      outside, and what it takes to go on; with --yes it writes that, for a group without members, and reads it back. Stop
      every 'run' first (--wait waits until the group is empty), then start it again.

      A commit of another program is accepted as it stands. In a log that retention has cut, reading goes on where the log
      begins; in one that ends before the committed offset, it starts over.

      Of a block in doubt, rows are counted in its table by _topic, _partition and _offset. Where that decides nothing, you
      do: --take-as-landed counts it as inserted, and rows that are not there are lost; --insert-again makes it again under
      a new token, and rows that are there are doubled. Neither loses nor doubles where you delete its rows from the table
      first and then say --insert-again. With --topic the choice is for all pending blocks of it, also those that a run
      would settle by itself.
      Exits with 0 where all is written (dry: would be) or nothing is to be done, 1 where a choice is missing, 75 while the
      group has members.
      """,
    options: [
      Command.config,
      .init("topic", "TOPIC", "Only this one, or one partition of it, such as events/0."),
      .init("partitions", "LIST", "Only these of the topic, such as 0,1,5-9."),
      .init("take-as-landed", nil, "Blocks in doubt count as inserted: what is not there is lost."),
      .init("insert-again", nil, "Blocks in doubt are inserted again: what is there is doubled."),
      .init("wait", "TIME", "Wait so long for the group to have no members, such as 60s."),
      .init("dry-run", nil, "Show what would be done; the default."), .init("yes", nil, "Do it."),
      .init("json", nil, "One JSON object, for machines."),
    ],
    examples: [
      "sinkctl recover --config sinkctl.yaml",
      "sinkctl recover --config sinkctl.yaml --topic events/0 --insert-again --yes --wait 60s",
    ]
  ) { arguments in
    do throws(UsageProblem) {
      guard !(arguments.has("take-as-landed") && arguments.has("insert-again")) else {
        throw UsageProblem(message: "--take-as-landed and --insert-again contradict each other")
      }
      let choice: Recovery.Choice? =
        arguments.has("take-as-landed") ? .takeAsLanded : arguments.has("insert-again") ? .insertAgain : nil
      let recovery = Recovery(choice, of: try OffsetArguments.selection(arguments))
      let wait = try OffsetArguments.wait(arguments.value("wait"))
      let isWriting = try OffsetArguments.isWriting(arguments)
      return await OffsetsRun.with(arguments) { pipeline throws(PipelineError) in
        if let wait { try await pipeline.waitForEmptyGroup(within: wait) }
        return try await OffsetsRun.carryOut(
          try await pipeline.plan(recovery), pipeline, isWriting: isWriting, arguments)
      }
    } catch {
      return OffsetsRun.usage(error, "recover")
    }
  }
}
