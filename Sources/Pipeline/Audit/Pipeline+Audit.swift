internal import ClickHouseClient
internal import KafkaClient
internal import Synchronization

extension Pipeline {
  /// Looks for every offset of the topics in the tables and among the dead letters: is each accounted for exactly once, as
  /// a row, a dead letter, filtered, or a tombstone? It reads the log once, decodes as `run` would (mapping and transforms
  /// are this pipeline's), and asks the tables for counts and fingerprints; only where these differ it asks for offsets.
  ///
  /// It changes nothing, and a run may be under way. Memory is bounded by 64 KiB for each partition, 40 bytes for each
  /// 65,536 offsets, 16 bytes for each dead letter in a topic, and what `findingsMax` allows.
  /// - Parameter progress: called from other threads, often.
  /// - Throws: `configuration` where a table lacks `_topic`, `_partition` or `_offset`, with the `ALTER` that adds them, or
  ///   where the request names what there is not; `unreachable`, `refused` or `kafka` where a server fails; `cancelled`.
  public func audit(
    _ request: AuditRequest = AuditRequest(), progress: @escaping @Sendable (AuditProgress) -> Void = { _ in }
  ) async throws(PipelineError) -> AuditReport {
    let client = try ClickHouseClient.open(configuration.clickhouse)
    defer { client.close() }
    var routes = configuration.routes
    // What a table must be for exactly once is no matter here.
    for index in routes.indices { routes[index].delivery = .atLeastOnce }
    let resolved = try await SchemaReader(client: client, logger: configuration.logger).resolve(routes).routes
    let tables = AuditTables(client: client, routes: resolved)
    let surveyed = try await AuditSurvey(
      configuration: configuration, request: request, tables: tables, progress: progress
    ).run()
    let audited = try await AuditPreparation(configuration: configuration, tables: tables, progress: progress).run(
      surveyed.filter { !$0.range.isEmpty })
    let run = AuditRun(audited, findingsMax: request.findingsMax, progress: progress)
    try await read(run, resolved)
    let notes = try await tables.notes(of: Set(surveyed.map(\.route)))
    guard !Task.isCancelled else { throw PipelineError(.cancelled, "the audit was cancelled") }
    return AuditReport(partitions: report(surveyed, run), notes: notes)
  }

  /// Reads the log, and settles what differs meanwhile.
  private func read(_ run: AuditRun, _ routes: [ResolvedRoute]) async throws(PipelineError) {
    let judges = routes.map { route in
      LogJudge(plan: route.plan, transforms: route.configuration.transforms.compactMap { transforms[$0] })
    }
    let visitor = Mutex<AuditVisitor?>(
      AuditVisitor(run, judges: judges, judgeOfRange: run.partitions.map(\.route)))
    let ranges = run.partitions.map { LogRange(partition: $0.partition, offsets: $0.range) }
    let kafka = configuration.kafka
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await run.settle() }
        defer { run.endReading() }
        guard let visitor = visitor.withLock({ $0.take() }) else { return }
        try await RangeReader.read(ranges, kafka, patience: AuditKafka.patience, visitor)
        run.endReading()
        try await group.waitForAll()
      }
    } catch let error as KafkaError {
      throw AuditKafka.problem(error)
    } catch let error as ClickHouseError {
      throw SchemaReader.startError(error)
    } catch {
      throw PipelineError(.kafka, "\(error)", cause: error)
    }
  }

  private func report(_ surveyed: [SurveyedPartition], _ run: AuditRun) -> [AuditReport.Partition] {
    let outcomes = Dictionary(uniqueKeysWithValues: zip(run.partitions.map(\.partition), run.outcomes))
    return surveyed.map { item in
      let outcome = outcomes[item.partition]
      let end = outcome?.end ?? item.range.upperBound
      var notes = item.notes
      if end < item.range.upperBound {
        notes.append("nothing can be read from \(end) on: a transaction may be open there")
      }
      return AuditReport.Partition(
        topic: item.partition.topic, partition: item.partition.partition,
        table: configuration.routes[item.route].table,
        range: item.range.lowerBound..<max(item.range.lowerBound, end), logStart: item.log.lowerBound,
        logEnd: item.log.upperBound, committed: item.committed, rowsBelowLog: item.extent?.rowsBelow ?? 0,
        tally: outcome?.tally ?? AuditTally(), findings: outcome?.findings.faults.ranges ?? [],
        findingsInAll: outcome?.findings.faults.rangesInAll ?? 0, notInLog: outcome?.findings.strays.ranges ?? [],
        notInLogInAll: outcome?.findings.strays.rangesInAll ?? 0, notes: notes)
    }
  }
}
