internal import ClickHouseClient
internal import SinkBytes

/// Reads whether a table can hold exactly once, and for how long it remembers a token.
struct DeliveryTableReader {
  /// Inserts a second that the window must last for: a group writes one block a second and partition, or fewer, larger
  /// ones.
  static let assumedInsertsPerSecond = 10
  /// A quarter of the horizon is what a restart may take; below this it would be counted, not replayed.
  static let leastHorizon = Duration.seconds(120)

  let client: ClickHouseClient

  private struct Facts {
    let engine: String
    let engineFull: String
    let partitionKey: String
    let views: [String]
  }

  /// - Returns: every reason why it cannot hold, each with what to do.
  func read(
    _ route: RouteConfiguration, _ table: TableName, _ description: TableDescription,
    _ deadLetters: ResolvedRoute.DeadLetters?
  ) async throws(ClickHouseError) -> (DeliveryTable?, problems: [String]) {
    guard client.knowsSetting("insert_deduplication_token") else {
      return (
        nil, ["the server does not know insert_deduplication_token (22.x and later do): use delivery: at_least_once"]
      )
    }
    var problems: [String] = []
    var (facts, horizon) = try await check(table, description, &problems)
    if let deadLetters {
      var found: [String] = []
      horizon = min(horizon, try await check(deadLetters.name, deadLetters.description, &found).horizon)
      let missing = Self.missingPlaces(deadLetters.description)
      if !missing.isEmpty {
        let columns = missing.map { "ADD COLUMN \($0.name) \($0.type)" }.joined(separator: ", ")
        found.append(
          "it cannot say which offsets it has: ALTER TABLE \(deadLetters.name.sql) \(columns)")
      }
      problems += found.map { "the dead letter table \(deadLetters.name): \($0)" }
    }
    let columns = description.columns.map { "\($0.name) \($0.type) \($0.defaultKind.rawValue) \($0.defaultExpression)" }
    let shape =
      "\(table) \(columns) \(facts.engineFull) \(facts.partitionKey) \(facts.views) \(route.mapping) \(route.transforms)"
      + " \(route.deadLetters)"
    let hash = unsafe Array(shape.utf8).withUnsafeBytes { unsafe CityHash128.hash($0) }
    return (
      DeliveryTable(
        fingerprint: hash.low, horizon: horizon, canCount: Self.missingPlaces(description).isEmpty), problems
    )
  }

  /// The columns that say where a row comes from, with the types that they may have.
  static let places = [("_topic", "LowCardinality(String)"), ("_partition", "Int32"), ("_offset", "Int64")]

  private static func missingPlaces(_ table: TableDescription) -> [(name: String, type: String)] {
    let names = Set(table.insertable.map(\.name))
    return places.filter { !names.contains($0.0) }.map { (name: $0.0, type: $0.1) }
  }

  /// What any table must be that blocks go to.
  private func check(
    _ table: TableName, _ description: TableDescription, _ problems: inout [String]
  ) async throws(ClickHouseError) -> (facts: Facts, horizon: Duration) {
    let facts = try await facts(table)
    let horizon = try await horizon(table, facts, &problems)
    checkPartitionKey(facts, description, &problems)
    for view in facts.views {
      problems.append(
        "the materialized view \(view) reads the table; exactly once through views is not checked yet: "
          + "use delivery: at_least_once")
    }
    return (facts, horizon)
  }

  private func facts(_ table: TableName) async throws(ClickHouseError) -> Facts {
    let database = table.database.map(TableName.literal) ?? "currentDatabase()"
    let text = try await client.queryText(
      "SELECT engine, engine_full, partition_key, arrayStringConcat(dependencies_table, ',') FROM system.tables "
        + "WHERE database = \(database) AND name = \(TableName.literal(table.table)) FORMAT TabSeparated")
    let fields = text.split(separator: "\n").first.map { $0.split(separator: "\t", omittingEmptySubsequences: false) }
    let words = (fields ?? []).map(String.init) + Array(repeating: "", count: 4)
    return Facts(
      engine: words[0], engineFull: words[1], partitionKey: words[2],
      views: words[3].split(separator: ",").map(String.init))
  }

  private func horizon(
    _ table: TableName, _ facts: Facts, _ problems: inout [String]
  ) async throws(ClickHouseError) -> Duration {
    let isReplicated = facts.engine.hasPrefix("Replicated") || facts.engine.hasPrefix("Shared")
    guard facts.engine.hasSuffix("MergeTree") else {
      problems.append("engine \(facts.engine) remembers no tokens: a MergeTree does, or use delivery: at_least_once")
      return .zero
    }
    let name = isReplicated ? "replicated_deduplication_window" : "non_replicated_deduplication_window"
    let window = try await setting(name, facts)
    guard window > 0 else {
      problems.append(
        "\(name) is 0, so that tokens are not remembered: ALTER TABLE \(table.sql) MODIFY SETTING \(name) = 10000")
      return .zero
    }
    var horizon = Duration.seconds(window / Self.assumedInsertsPerSecond)
    if isReplicated {
      let seconds = try await setting("replicated_deduplication_window_seconds", facts)
      horizon = min(horizon, .seconds(seconds))
    }
    if horizon < Self.leastHorizon {
      problems.append(
        "tokens are remembered for \(horizon) at \(Self.assumedInsertsPerSecond) inserts a second; at least "
          + "\(Self.leastHorizon): ALTER TABLE \(table.sql) MODIFY SETTING \(name) = 10000"
          + (isReplicated ? ", replicated_deduplication_window_seconds = 604800" : ""))
    }
    return horizon
  }

  /// Of the table, else of the server.
  private func setting(_ name: String, _ facts: Facts) async throws(ClickHouseError) -> Int {
    // The names contain each other: the character before must not be part of one.
    for part in facts.engineFull.split(whereSeparator: { $0 == "," || $0 == " " || $0 == "=" }).enumerated()
    where part.element == name {
      let rest = facts.engineFull.split(whereSeparator: { $0 == "," || $0 == " " || $0 == "=" }).dropFirst(
        part.offset + 1)
      if let value = rest.first.flatMap({ Int($0) }) { return value }
    }
    let source = name.hasPrefix("replicated_") ? "replicated_merge_tree_settings" : "merge_tree_settings"
    let text = try await client.queryText("SELECT value FROM system.\(source) WHERE name = \(TableName.literal(name))")
    return Int(text.filter(\.isNumber)) ?? 0
  }

  private static let movingFunctions = [
    "now", "now64", "today", "yesterday", "rand", "rand32", "rand64", "randConstant", "generateUUIDv4",
    "generateUUIDv7",
    "rowNumberInAllBlocks", "hostName",
  ]

  /// A row must go to the same table partition each time: tokens are remembered for each.
  private func checkPartitionKey(_ facts: Facts, _ table: TableDescription, _ problems: inout [String]) {
    func moves(_ expression: String) -> String? { Self.movingFunctions.first { expression.contains("\($0)(") } }
    if let function = moves(facts.partitionKey) {
      problems.append("the partition key \(facts.partitionKey) depends on \(function)(), not on the row alone")
    }
    for column in table.columns where facts.partitionKey.contains(column.name) {
      guard let function = moves(column.defaultExpression) else { continue }
      problems.append(
        "the partition key \(facts.partitionKey) depends on column \(column.name), whose default calls \(function)(): "
          + "give the records that field, or use delivery: at_least_once")
    }
  }
}
