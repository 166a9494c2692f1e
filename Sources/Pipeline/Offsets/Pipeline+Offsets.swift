internal import ClickHouseClient
internal import KafkaClient
internal import SinkThreads

/// The group's offsets, seen and set from outside: nothing here joins the group, so that it works while others run.
extension Pipeline {
  /// What the group holds of the routes' partitions, where their logs stand, and who is in the group.
  /// - Throws: `unreachable` or `refused` where Kafka does not answer; what ClickHouse does not answer becomes a note.
  ///   `configuration` where the routes have no such partition.
  public func offsets(of selection: PartitionSelection = .all) async throws(PipelineError) -> PipelineOffsets {
    try await withOffsetsDesk { desk throws(PipelineError) in
      let answer = try await desk.reader.read()
      return PipelineOffsets(
        group: desk.group, membership: answer.membership,
        partitions: try desk.select(selection, answer).map(\.offsets), notes: answer.notes)
    }
  }

  /// What a reset would do. Nothing is written.
  ///
  /// The new commits carry our word, so that exactly once goes on from them, and records that are read again get new
  /// deduplication tokens: they are inserted again, not swallowed.
  /// - Throws: `unreachable`, `refused`; `configuration` where the routes have no such partition.
  public func plan(_ reset: OffsetReset) async throws(PipelineError) -> OffsetPlan {
    try await withOffsetsDesk { desk throws(PipelineError) in try await desk.plan(reset) }
  }

  /// What it takes for stopped partitions to go on. Counts the rows of pending blocks; nothing is written.
  /// - Throws: `unreachable`, `refused`; `configuration` where the routes have no such partition.
  public func plan(_ recovery: Recovery) async throws(PipelineError) -> OffsetPlan {
    try await withOffsetsDesk { desk throws(PipelineError) in try await desk.plan(recovery) }
  }

  /// Writes what was planned, while the group has no members, and reads it back.
  /// - Throws: `groupInUse` where the group has members or its offsets have changed since the plan was made; `unreachable`
  ///   where the outcome is not known; `kafka` with every partition that does not hold what was to be written.
  public func apply(_ plan: OffsetPlan) async throws(PipelineError) {
    try await withOffsetsDesk { desk throws(PipelineError) in try await desk.apply(plan) }
  }

  /// Waits until nobody is in the group. A member with an instance id stays in it for a session after its process has ended.
  /// - Throws: `groupInUse` with the members that are still there at the end.
  public func waitForEmptyGroup(within timeout: Duration) async throws(PipelineError) {
    try await withOffsetsDesk { desk throws(PipelineError) in try await desk.waitForEmptyGroup(within: timeout) }
  }

  private func withOffsetsDesk<Result>(
    _ body: (OffsetsDesk) async throws(PipelineError) -> Result
  ) async throws(PipelineError) -> Result {
    let client = try ClickHouseClient.open(configuration.clickhouse)
    defer { client.close() }
    let admin: KafkaAdmin
    let kafka = configuration.kafka
    do throws(KafkaError) {
      admin = try KafkaAdmin(
        brokers: kafka.brokers, security: kafka.security, properties: kafka.connectionProperties,
        isolation: kafka.isolation, logger: kafka.logger)
    } catch {
      throw PipelineError(.configuration, error.message, cause: error)
    }
    let reader = OffsetsReader(
      configuration: configuration, transforms: transforms, admin: admin, client: client, time: time)
    return try await body(OffsetsDesk(reader: reader, insertDeadline: configuration.insertDeadline))
  }
}
