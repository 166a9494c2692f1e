internal import ClickHouseClient
internal import KafkaClient

/// A partition whose range is known.
struct SurveyedPartition: Sendable {
  let partition: TopicPartition
  let route: Int
  /// As the isolation level sees it.
  let log: Range<Int64>
  let committed: Int64?
  let extent: TableOffsets.Extent?
  let range: Range<Int64>
  let notes: [String]
}

/// What an audit asks before it reads the log: which partitions, and from where to where.
struct AuditSurvey: Sendable {
  private struct Choice {
    let partition: TopicPartition
    let route: Int
    var log: Range<Int64> = 0..<0
    var committed: Int64?
    var from: Int64?
    var to: Int64?
  }

  let configuration: PipelineConfiguration
  let request: AuditRequest
  let tables: AuditTables
  let progress: @Sendable (AuditProgress) -> Void

  /// - Returns: by topic and number.
  func run() async throws(PipelineError) -> [SurveyedPartition] {
    let admin = try AuditKafka(configuration.kafka)
    let chosen = try AuditTopics(configuration, request).choose(try await admin.topics())
    try await tables.checkColumns(of: Set(chosen.map(\.route)))
    var surveyed: [SurveyedPartition] = []
    for (topic, route, partitions) in chosen {
      let choices = try await ask(admin, topic, partitions, route)
      let table = tables.rows(of: topic, route)
      progress(.askingTable(table.table.description))
      let lows = Dictionary(uniqueKeysWithValues: choices.map { ($0.partition.partition, $0.log.lowerBound) })
      let extents = try await AuditTables.ask { () throws(ClickHouseError) in try await table.survey(lows) }
      surveyed += choices.map { resolve($0, extents[$0.partition.partition]) }
    }
    try checkGroup(surveyed)
    return surveyed
  }

  private func ask(
    _ admin: AuditKafka, _ topic: String, _ numbers: [Int32], _ route: Int
  ) async throws(PipelineError) -> [Choice] {
    let partitions = numbers.map { TopicPartition(topic, $0) }
    // The committed offsets before the ends, the ends before the table: what is committed by then is in all of them.
    let committed = try await admin.committed(partitions)
    let from = try await admin.offsets(of: request.from, partitions)
    let to = try await admin.offsets(of: request.to, partitions)
    let logs = try await admin.logs(partitions)
    return partitions.map { partition in
      let log = logs[partition] ?? 0..<0
      return Choice(
        partition: partition, route: route, log: log, committed: committed[partition],
        from: request.from == nil ? nil : from[partition] ?? log.upperBound,
        to: request.to == nil ? nil : to[partition] ?? log.upperBound)
    }
  }

  private func resolve(_ choice: Choice, _ extent: TableOffsets.Extent?) -> SurveyedPartition {
    let policy = AuditRangePolicy(
      log: choice.log, committed: choice.committed, table: extent, from: choice.from, to: choice.to,
      startsAtLogStart: configuration.kafka.start == .earliest)
    let (range, notes) = policy.resolve()
    return SurveyedPartition(
      partition: choice.partition, route: choice.route, log: choice.log, committed: choice.committed, extent: extent,
      range: range, notes: notes)
  }

  /// A group that has nothing is more likely misspelled than new, and "all is well" would be no answer.
  private func checkGroup(_ surveyed: [SurveyedPartition]) throws(PipelineError) {
    guard request.to == nil, surveyed.allSatisfy({ $0.committed == nil }), surveyed.contains(where: { !$0.log.isEmpty })
    else { return }
    throw PipelineError(
      .configuration,
      "the group \(configuration.kafka.group) has committed nothing in these topics: has it run? A range with an end of "
        + "its own (--to) needs no group")
  }
}

/// Which partitions an audit is about, and whose route each is.
struct AuditTopics {
  private let routes: [RouteConfiguration]
  private let request: AuditRequest

  init(_ configuration: PipelineConfiguration, _ request: AuditRequest) {
    routes = configuration.routes
    self.request = request
  }

  /// - Returns: by name.
  func choose(
    _ known: [KafkaAdmin.Topic]
  ) throws(PipelineError) -> [(topic: String, route: Int, partitions: [Int32])] {
    let topics = Dictionary(known.map { ($0.name, $0) }) { first, _ in first }
    var chosen: [(topic: String, route: Int, partitions: [Int32])] = []
    for name in try names(known.map(\.name)).sorted() {
      guard let route = try route(of: name) else {
        let named = routes.flatMap(\.topics).joined(separator: ", ")
        throw PipelineError(.configuration, "no route takes topic '\(name)'; the routes take \(named)")
      }
      guard let topic = topics[name], topic.error == nil else {
        throw PipelineError(
          .refused, topics[name]?.error?.message ?? "topic '\(name)' does not exist, or this user may not see it")
      }
      let numbers = topic.partitions.map(\.partition).filter { request.partitions?.contains($0) ?? true }
      if !numbers.isEmpty { chosen.append((name, route, numbers)) }
    }
    let found = Set(chosen.flatMap(\.partitions))
    if let missing = request.partitions?.subtracting(found).min() {
      let names = Set(chosen.map(\.topic)).union(request.topics ?? []).sorted().joined(separator: ", ")
      throw PipelineError(
        .configuration, "none of the topics\(names.isEmpty ? "" : " \(names)") has a partition \(missing)")
    }
    return chosen
  }

  private func names(_ known: [String]) throws(PipelineError) -> Set<String> {
    if let topics = request.topics { return Set(topics) }
    var names = Set(routes.flatMap(\.topics).filter { !$0.hasPrefix("^") })
    for pattern in routes.flatMap(\.topics) where pattern.hasPrefix("^") {
      let pattern = try TopicPattern(pattern)
      names.formUnion(known.filter(pattern.matches))
    }
    return names
  }

  /// As the router of a run has it: names before patterns.
  private func route(of topic: String) throws(PipelineError) -> Int? {
    if let named = routes.firstIndex(where: { $0.topics.contains(topic) }) { return named }
    for (index, route) in routes.enumerated() {
      for pattern in route.topics where pattern.hasPrefix("^") {
        if try TopicPattern(pattern).matches(topic) { return index }
      }
    }
    return nil
  }
}
