internal import ClickHouseClient
internal import KafkaClient

/// What an audit fetches before it reads the log: what the tables and the topics of dead letters hold of the ranges.
struct AuditPreparation: Sendable {
  let configuration: PipelineConfiguration
  let tables: AuditTables
  let progress: @Sendable (AuditProgress) -> Void

  private struct Held {
    var rows: [Int32: [Int64: OffsetFingerprint]] = [:]
    var letters: [Int32: [Int64: OffsetFingerprint]] = [:]
  }

  /// - Parameter surveyed: with ranges that are not empty.
  func run(_ surveyed: [SurveyedPartition]) async throws(PipelineError) -> [AuditedPartition] {
    var audited: [AuditedPartition] = []
    let logs = try await readDeadLetters(surveyed)
    for (topic, partitions) in Dictionary(grouping: surveyed, by: { $0.partition.topic }).sorted(by: { $0.key < $1.key }
    ) {
      let route = partitions[0].route
      let rows = tables.rows(of: topic, route)
      let letters = tables.letters(of: topic, route)
      let ranges = Dictionary(uniqueKeysWithValues: partitions.map { ($0.partition.partition, $0.range) })
      progress(.askingTable(rows.table.description))
      let held = try await AuditTables.ask { () throws(ClickHouseError) in
        Held(rows: try await rows.fingerprints(ranges), letters: try await letters?.fingerprints(ranges) ?? [:])
      }
      for item in partitions {
        let number = item.partition.partition
        let inTopic = logs[route]?.counts(of: item.partition) ?? []
        audited.append(
          AuditedPartition(
            partition: item.partition, route: route, range: item.range, deadLetters: keeping(route),
            countRows: rows.counts, countLetters: letters?.counts, rows: held.rows[number] ?? [:],
            letterFingerprints: held.letters[number] ?? inTopic.fingerprints, letters: inTopic))
      }
    }
    return audited
  }

  private func keeping(_ route: Int) -> BucketComparison.DeadLetterKeeping {
    switch configuration.routes[route].deadLetters {
    case .topic: .topic
    case .table: .table
    case .skip: .none
    case .stop: .stop
    }
  }

  /// - Returns: by route.
  private func readDeadLetters(_ surveyed: [SurveyedPartition]) async throws(PipelineError) -> [Int: DeadLetterLog
    .Findings]
  {
    var found: [Int: DeadLetterLog.Findings] = [:]
    for (route, partitions) in Dictionary(grouping: surveyed, by: \.route).sorted(by: { $0.key < $1.key }) {
      guard case .topic(let topic) = configuration.routes[route].deadLetters else { continue }
      progress(.readingDeadLetters(topic))
      let findings = DeadLetterLog.Findings(
        Dictionary(uniqueKeysWithValues: partitions.map { ($0.partition, $0.range) }))
      try await read(topic, findings)
      found[route] = findings
    }
    return found
  }

  private func read(_ topic: String, _ findings: DeadLetterLog.Findings) async throws(PipelineError) {
    let kafka = try AuditKafka(configuration.kafka)
    // A topic that is not there yet has had no dead letter.
    let numbers = try await kafka.topics().first { $0.name == topic }?.partitions.map(\.partition) ?? []
    let logs = try await kafka.logs(numbers.map { TopicPartition(topic, $0) })
    let ranges = logs.filter { !$0.value.isEmpty }.map { LogRange(partition: $0.key, offsets: $0.value) }
    do throws(KafkaError) {
      try await RangeReader.read(
        ranges, configuration.kafka, patience: AuditKafka.patience, DeadLetterLog(findings))
    } catch {
      throw AuditKafka.problem(error)
    }
    guard !findings.isOver else {
      throw PipelineError(
        .configuration,
        "the topic \(topic) has more than \(DeadLetterLog.lettersMax) dead letters of the range: audit fewer partitions "
          + "or offsets at a time")
    }
  }
}
