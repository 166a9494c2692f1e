internal import ClickHouseClient
internal import KafkaClient
internal import SinkBytes

/// Reads whether a table can hold exactly once, and for how long it remembers a token.
struct DeliveryTableReader {
  /// A quarter of the horizon is what a restart may take; below this it would be counted, not replayed.
  static let leastHorizon = Duration.seconds(120)

  let client: ClickHouseClient
  /// The route's transforms, with their versions.
  let transforms: [String]
  /// What it asks of the server beside tokens.
  let needs: [(name: String, value: String)]

  /// - Returns: every reason why it cannot hold, each with what to do.
  func read(
    _ route: RouteConfiguration, _ table: TableName, _ description: TableDescription,
    _ deadLetters: ResolvedRoute.DeadLetters?
  ) async throws(ClickHouseError) -> (DeliveryTable?, problems: [String]) {
    let isCounted = route.deduplication == .count
    guard isCounted || client.knowsSetting("insert_deduplication_token") else {
      return (
        nil,
        ["the server does not know insert_deduplication_token (22.x and later do): upgrade it, or deduplication: count"]
      )
    }
    var problems = client.refusals(of: needs) + (isCounted ? [] : client.tokenRefusals)
    let facts = try await TableFacts.read(table, client)
    var views: [String] = []
    var windows: [TokenWindow] = []
    let doubts = try await countingProblems(facts, description)
    if isCounted {
      problems += doubts
      if let view = facts.views.first {
        problems.append(
          "the materialized view \(view) reads it, of which a count says nothing: that needs deduplication: token")
      }
    } else {
      windows += try await window(facts, &problems)
      checkPartitionKey(facts, description, &problems)
      try await checkViews(of: facts, description, &windows, &views, &problems)
    }
    if let deadLetters { windows += try await window(deadLetters, isCounted: isCounted, &problems) }
    return (
      DeliveryTable(
        fingerprint: fingerprint(route, facts, description, views),
        horizon: windows.map { $0.horizon(at: TokenRate.assumed) }.min() ?? .zero,
        windows: windows, canCount: doubts.isEmpty, hasViews: !views.isEmpty), problems
    )
  }

  /// Of everything that shapes or places rows.
  private func fingerprint(
    _ route: RouteConfiguration, _ facts: TableFacts, _ description: TableDescription, _ views: [String]
  ) -> UInt64 {
    let columns = description.columns.map { "\($0.name) \($0.type) \($0.defaultKind.rawValue) \($0.defaultExpression)" }
    let shape =
      "\(RecordDecoder.rulesVersion) \(facts.name) \(columns) \(facts.engineFull) \(facts.partitionKey) \(views)"
      + " \(route.mapping) \(transforms) \(route.deadLetters) \(route.deduplication)"
    return unsafe Array(shape.utf8).withUnsafeBytes { unsafe CityHash128.hash($0) }.low
  }

  // MARK: Counting

  /// The columns that say where a row comes from, with the types that they may have.
  static let places = [("_topic", "LowCardinality(String)"), ("_partition", "Int32"), ("_offset", "Int64")]

  private static func missingPlaces(_ table: TableDescription) -> [(name: String, type: String)] {
    let names = Set(table.insertable.map(\.name))
    return places.filter { !names.contains($0.0) }.map { (name: $0.0, type: $0.1) }
  }

  /// Why a count of its offsets would not say what was inserted.
  private func countingProblems(
    _ facts: TableFacts, _ table: TableDescription
  ) async throws(ClickHouseError) -> [String] {
    let missing = Self.missingPlaces(table)
    guard missing.isEmpty else {
      let columns = missing.map { "ADD COLUMN \($0.name) \($0.type)" }.joined(separator: ", ")
      return ["it cannot say which offsets it has: ALTER TABLE \(facts.name.sql) \(columns)"]
    }
    guard facts.engine.hasSuffix("MergeTree") else {
      return ["engine \(facts.engine) does not say what was inserted: a MergeTree does"]
    }
    let isPlain = ["", "Replicated", "Shared"].contains { facts.engine == "\($0)MergeTree" }
    guard isPlain || Self.places.allSatisfy({ MovingFunction.mentions($0.0, in: facts.sortingKey) }) else {
      return [
        "merges of \(facts.engine) take rows away, so that a count does not say what was inserted: end its sorting key "
          + "with _topic, _partition, _offset"
      ]
    }
    do throws(ClickHouseError) {
      // As later on, of nothing: the user may lack a grant, or the profile refuse a setting.
      _ = try await client.queryExactly(
        RangeCounter.query("uniqExact(_offset)", facts.name, TopicPartition("", 0), 1, 0))
      return []
    } catch {
      guard error.code == .server, error.reaction == .pauseAndAlarm else { throw error }
      return ["its offsets cannot be counted: \(error.message)"]
    }
  }

  // MARK: Dead letters

  /// Views of a dead letter table are not looked at: nothing is promised of them.
  private func window(
    _ deadLetters: ResolvedRoute.DeadLetters, isCounted: Bool, _ problems: inout [String]
  ) async throws(ClickHouseError) -> [TokenWindow] {
    let facts = try await TableFacts.read(deadLetters.name, client)
    var found = try await countingProblems(facts, deadLetters.description)
    var windows: [TokenWindow] = []
    if !isCounted {
      windows = try await window(facts, &found)
      checkPartitionKey(facts, deadLetters.description, &found)
    }
    problems += found.map { "the dead letter table \(deadLetters.name): \($0)" }
    return windows
  }

  // MARK: Views

  /// Follows the views to their targets, and the views on those: a repeated insert goes through all of them, and each
  /// target drops what it has by the token alone.
  private func checkViews(
    of source: TableFacts, _ description: TableDescription, _ windows: inout [TokenWindow], _ shapes: inout [String],
    _ problems: inout [String]
  ) async throws(ClickHouseError) {
    var waiting = source.views
    var seen: Set<TableName> = []
    while !waiting.isEmpty {
      let name = waiting.removeFirst()
      guard seen.insert(name).inserted else { continue }
      let view = try await TableFacts.read(name, client)
      if view.isRefreshable { continue }
      shapes.append("\(name) \(view.select)")
      guard let target = view.target else {
        problems.append("where the materialized view \(name) writes to cannot be made out")
        continue
      }
      var found: [String] = []
      let facts = try await TableFacts.read(target, client)
      shapes.append("\(target) \(facts.engineFull) \(facts.partitionKey)")
      windows += try await window(facts, &found)
      checkPlacement(view, facts, description, &found)
      problems += found.map { "the materialized view \(name) writes to \(target): \($0)" }
      waiting += facts.views
    }
    guard !shapes.isEmpty else { return }
    let version = try await client.serverVersion()
    if !version.isAtLeast(24, 7) {
      problems.append(
        "materialized views read it, and \(version) passes a repeated block on to none of them (24.7 and later do): "
          + "upgrade")
    }
  }

  /// A view's row must go to the same table partition each time.
  private func checkPlacement(
    _ view: TableFacts, _ target: TableFacts, _ source: TableDescription, _ problems: inout [String]
  ) {
    guard !target.partitionKey.isEmpty else { return }
    for column in source.columns where MovingFunction.mentions(column.name, in: target.partitionKey) {
      guard let (origin, function) = Self.movingOrigin(of: column, in: source) else { continue }
      problems.append(
        "its partition key \(target.partitionKey) depends on column \(column.name), and \(origin.name) of \(source.name) "
          + "has a default that calls \(function)(): partition by what the row holds")
    }
    // An item of the SELECT that makes no column of the key may move.
    guard let function = SelectItems.movingFunction(in: view.select, reaching: target.partitionKey) else { return }
    problems.append(
      "its partition key \(target.partitionKey) may depend on \(function)() in the view: partition by what the row "
        + "holds")
  }

  // MARK: Windows

  /// - Returns: none where tokens are not remembered.
  private func window(
    _ facts: TableFacts, _ problems: inout [String]
  ) async throws(ClickHouseError) -> [TokenWindow] {
    guard facts.engine.hasSuffix("MergeTree") else {
      problems.append("engine \(facts.engine) remembers no tokens: a MergeTree does")
      return []
    }
    let name = facts.isReplicated ? "replicated_deduplication_window" : "non_replicated_deduplication_window"
    let window = try await setting(name, facts)
    guard window > 0 else {
      problems.append(
        "\(name) is 0, so that tokens are not remembered: ALTER TABLE \(facts.name.sql) MODIFY SETTING \(name) = 10000")
      return []
    }
    let age: Duration? =
      facts.isReplicated ? .seconds(try await setting("replicated_deduplication_window_seconds", facts)) : nil
    let found = TokenWindow(table: facts.name, tokens: window, age: age)
    let horizon = found.horizon(at: TokenRate.assumed)
    if horizon < Self.leastHorizon {
      problems.append(
        "tokens are remembered for \(horizon) at \(Int(TokenRate.assumed)) inserts a second; at least "
          + "\(Self.leastHorizon): ALTER TABLE \(facts.name.sql) MODIFY SETTING \(name) = 10000"
          + (facts.isReplicated ? ", replicated_deduplication_window_seconds = 604800" : ""))
    }
    return [found]
  }

  /// Of the table, else of the server.
  private func setting(_ name: String, _ facts: TableFacts) async throws(ClickHouseError) -> Int {
    if let own = facts.setting(name) { return own }
    let source = facts.isReplicated ? "replicated_merge_tree_settings" : "merge_tree_settings"
    let text = try await client.queryText("SELECT value FROM system.\(source) WHERE name = \(TableName.literal(name))")
    return Int(text.trimmed) ?? 0
  }

  /// A row must go to the same table partition each time: tokens are remembered for each.
  private func checkPartitionKey(_ facts: TableFacts, _ table: TableDescription, _ problems: inout [String]) {
    if let function = MovingFunction.first(in: facts.partitionKey) {
      problems.append("the partition key \(facts.partitionKey) depends on \(function)(), not on the row alone")
    }
    for column in table.columns where MovingFunction.mentions(column.name, in: facts.partitionKey) {
      guard let (origin, function) = Self.movingOrigin(of: column, in: table) else { continue }
      let way = origin.name == column.name ? "" : "through column \(origin.name), "
      problems.append(
        "the partition key \(facts.partitionKey) depends on column \(column.name), \(way)whose default calls "
          + "\(function)(): let records give that field and ALTER TABLE \(facts.name.sql) MODIFY COLUMN "
          + "\(TableName(table: origin.name).sql) REMOVE \(origin.defaultKind.rawValue)")
    }
  }

  /// The column whose default makes another one move: itself, or one that its default reads.
  private static func movingOrigin(
    of column: ColumnDescription, in table: TableDescription
  ) -> (origin: ColumnDescription, function: String)? {
    var waiting = [column]
    var seen: Set<String> = []
    while let next = waiting.popLast() {
      guard seen.insert(next.name).inserted, !next.defaultExpression.isEmpty else { continue }
      if let function = MovingFunction.first(in: next.defaultExpression) { return (next, function) }
      waiting += table.columns.filter { MovingFunction.mentions($0.name, in: next.defaultExpression) }
    }
    return nil
  }
}
