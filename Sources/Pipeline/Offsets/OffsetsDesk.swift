internal import ClickHouseClient
internal import KafkaClient
internal import SinkThreads

/// Plans changes of a group's offsets, and carries them out.
struct OffsetsDesk {
  let reader: OffsetsReader
  let insertDeadline: Duration

  var group: String { reader.configuration.kafka.group }
  private var admin: KafkaAdmin { reader.admin }

  // MARK: Plans

  func plan(_ reset: OffsetReset) async throws(PipelineError) -> OffsetPlan {
    let answer = try await reader.read()
    let chosen = try select(reset.selection, answer)
    var atTime: [TopicPartition: Int64] = [:]
    if case .time(let milliseconds) = reset.target {
      let found = try await asking { () throws(KafkaError) in
        try await admin.offsets(
          chosen.map(\.offsets.partition), at: .time(milliseconds), within: OffsetsReader.patience)
      }
      for place in found {
        if let error = place.error { throw PipelineError(PipelineError.code(of: error), error.message, cause: error) }
        atTime[place.partition] = place.offset
      }
    }
    return collect(
      answer, chosen.map { ResetPlanner.plan(reset, $0, atTime: atTime[$0.offsets.partition]) }, notes: answer.notes)
  }

  func plan(_ recovery: Recovery) async throws(PipelineError) -> OffsetPlan {
    let answer = try await reader.read()
    let chosen = try select(recovery.selection, answer)
    let planner = RecoveryPlanner(
      choice: recovery.choice, isForced: recovery.choice != nil && recovery.selection.topic != nil)
    var random = SystemRandomNumberGenerator()
    var verdicts: [RecoveryPlanner.Verdict] = []
    var notes = answer.notes
    var hasCounted = false
    for found in chosen {
      // Without its table nobody can say what is in doubt.
      guard found.delivery != nil || found.offsets.pending.isEmpty else {
        let stay = OffsetPlan.Stay(
          before: found.offsets, reason: "its table could not be looked at", blocks: [])
        verdicts.append(.refused(stay))
        continue
      }
      var counts: [FoundRows?] = []
      for block in found.offsets.pending {
        counts.append(try await count(block, found, answer.tables[found.route]))
        hasCounted = hasCounted || counts.last != .some(nil)
      }
      verdicts.append(planner.plan(found, counts: counts, random: &random))
    }
    if hasCounted {
      notes.append(
        "rows were counted now; an insert that was under way when its process ended can land up to "
          + "\(Int(insertDeadline.seconds)) s later")
    }
    return collect(answer, verdicts, notes: notes)
  }

  func select(
    _ selection: PartitionSelection, _ answer: OffsetsReader.Answer
  ) throws(PipelineError) -> [FoundPartition] {
    let chosen = answer.partitions.filter { selection.contains($0.offsets.partition) }
    let missing = selection.partitions.filter { wanted in
      !chosen.contains { $0.offsets.partition.partition == wanted }
    }
    guard let topic = selection.topic, chosen.isEmpty || !missing.isEmpty else { return chosen }
    let known = Set(answer.partitions.map(\.offsets.partition.topic)).sorted().joined(separator: ", ")
    guard !chosen.isEmpty || answer.partitions.contains(where: { $0.offsets.partition.topic == topic }) else {
      throw PipelineError(.configuration, "no route reads a topic '\(topic)'; they read \(known)")
    }
    let numbers = missing.sorted().map(String.init).joined(separator: ", ")
    throw PipelineError(.configuration, "topic '\(topic)' has no partition \(numbers)")
  }

  private func collect(
    _ answer: OffsetsReader.Answer, _ verdicts: [ResetPlanner.Verdict], notes: [String]
  ) -> OffsetPlan {
    var steps: [OffsetPlan.Step] = []
    var untouched: [OffsetPlan.Stay] = []
    var refused: [OffsetPlan.Stay] = []
    for verdict in verdicts {
      switch verdict {
      case .step(let step): steps.append(step)
      case .untouched(let stay): untouched.append(stay)
      case .refused(let stay): refused.append(stay)
      }
    }
    return OffsetPlan(
      group: group, membership: answer.membership, steps: steps, untouched: untouched, refused: refused, notes: notes)
  }

  private func count(
    _ block: PendingBlock, _ found: FoundPartition, _ route: ResolvedRoute?
  ) async throws(PipelineError) -> FoundRows? {
    guard let route, let table = route.delivery, table.canCount else { return nil }
    let partition = found.offsets.partition
    func ask(_ table: TableName) async throws(PipelineError) -> Int? {
      do throws(ClickHouseError) {
        let text = try await reader.client.queryExactly(
          RangeCounter.query("uniqExact(_offset)", table, partition, block.offsets.lowerBound, block.offsets.upperBound)
        )
        return Int(text.filter(\.isNumber))
      } catch {
        throw SchemaReader.startError(error)
      }
    }
    guard let rows = try await ask(route.table) else { return nil }
    var letters: Int?
    if let table = route.deadLetterTable,
      ["_topic", "_partition", "_offset"].allSatisfy({ name in table.layout.names.contains(name) })
    {
      letters = try await ask(table.name)
    }
    return FoundRows(table: rows, deadLetters: letters, hasViews: table.hasViews)
  }

  // MARK: Writing

  func apply(_ plan: OffsetPlan) async throws(PipelineError) {
    if let refusal = plan.refused.first {
      throw PipelineError(.refused, "\(refusal.partition): \(refusal.reason)")
    }
    guard !plan.steps.isEmpty else { return }
    try await expectNoMembers()
    let partitions = plan.steps.map(\.partition)
    let held = try await committed(partitions)
    let changed = plan.steps.filter { step in
      held[step.partition].map { $0.offset != step.before.committed || $0.metadata != step.before.metadata } ?? true
    }
    guard changed.isEmpty else {
      throw PipelineError(
        .groupInUse, "offsets have changed since they were looked at: look again",
        details: changed.map { "\($0.partition): \($0.before.committed.map { "\($0)" } ?? "none") before" })
    }
    let wanted = plan.steps.map { CommittedOffset($0.partition, offset: $0.offset, metadata: $0.metadata) }
    let answers = try await asking { () throws(KafkaError) in
      try await admin.alterCommittedOffsets(group: group, wanted, within: OffsetsReader.patience)
    }
    let now = try await committed(partitions)
    let missing = wanted.filter { now[$0.partition]?.offset != $0.offset || now[$0.partition]?.metadata != $0.metadata }
    guard missing.isEmpty else {
      let details = missing.map { wanted in
        let reason = answers.first { $0.partition == wanted.partition }?.error?.message
        return "\(wanted.partition) is not at \(wanted.offset ?? 0): \(reason ?? "the group holds something else")"
      }
      let isBusy = answers.contains { $0.error?.code == .staleMember }
      throw PipelineError(
        isBusy ? .groupInUse : .kafka, "\(missing.count) of \(wanted.count) offsets were not written", details: details)
    }
  }

  private func committed(
    _ partitions: [TopicPartition]
  ) async throws(PipelineError) -> [TopicPartition: CommittedOffset] {
    let found = try await asking { () throws(KafkaError) in
      try await admin.committedOffsets(group: group, partitions, within: OffsetsReader.patience)
    }
    return Dictionary(found.map { ($0.partition, $0) }) { first, _ in first }
  }

  /// A broker that does not tell who is in the group refuses the change by itself.
  private func expectNoMembers() async throws(PipelineError) {
    guard let found = try? await admin.describeGroup(group, within: OffsetsReader.patience), !found.members.isEmpty
    else { return }
    throw PipelineError(
      .groupInUse,
      "the group \(group) has \(found.members.count) \(found.members.count == 1 ? "member" : "members"), and offsets can "
        + "only be set while it has none: stop them. One with an instance id stays in the group until its session is over "
        + "(\(Int(reader.configuration.kafka.sessionTimeout.seconds)) s after its process has ended)",
      details: found.members.map { "\($0.instanceID ?? $0.id) at \($0.host.drop { $0 == "/" })" })
  }

  func waitForEmptyGroup(within timeout: Duration) async throws(PipelineError) {
    let deadline = reader.time.monotonic() + timeout
    while true {
      do throws(PipelineError) {
        return try await expectNoMembers()
      } catch {
        guard reader.time.monotonic() < deadline, !Task.isCancelled else { throw error }
      }
      try? await Task.sleep(for: .milliseconds(500))
    }
  }

  private func asking<Result>(
    _ body: () async throws(KafkaError) -> Result
  ) async throws(PipelineError) -> Result {
    do throws(KafkaError) {
      return try await body()
    } catch {
      let code = error.code == .staleMember ? .groupInUse : PipelineError.code(of: error)
      throw PipelineError(code, error.message, cause: error)
    }
  }
}
