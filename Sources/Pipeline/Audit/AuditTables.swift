internal import ClickHouseClient

/// The tables of an audit's routes.
struct AuditTables: Sendable {
  let client: ClickHouseClient
  let routes: [ResolvedRoute]

  /// What the route's table holds of a topic.
  func rows(of topic: String, _ route: Int) -> TableOffsets {
    TableOffsets(client: client, table: routes[route].table, topic: topic)
  }

  /// What its dead letter table holds; nil where it has none.
  func letters(of topic: String, _ route: Int) -> TableOffsets? {
    routes[route].deadLetterTable.map { TableOffsets(client: client, table: $0.name, topic: topic) }
  }

  /// - Throws: `configuration`, with what adds the columns that say where rows came from.
  func checkColumns(of chosen: Set<Int>) async throws(PipelineError) {
    var problems: [String] = []
    for index in chosen.sorted() {
      let route = routes[index]
      try await check(route.table, route.layout, &problems)
      if let letters = route.deadLetterTable { try await check(letters.name, letters.layout, &problems) }
    }
    guard !problems.isEmpty else { return }
    throw PipelineError(
      .configuration, "an audit goes by the columns _topic, _partition and _offset, which 'run' fills where they are",
      details: problems)
  }

  private func check(
    _ table: TableName, _ layout: BlockLayout, _ problems: inout [String]
  ) async throws(PipelineError) {
    let missing = TableOffsets.columns.filter { layout.index(of: $0.name) == nil }
    guard !missing.isEmpty else { return }
    let client = client
    let isOld = try await Self.ask { () throws(ClickHouseError) in try await client.serverVersion().major < 20 }
    let columns = missing.map { "ADD COLUMN `\($0.name)` \(isOld ? $0.oldType : $0.type)" }
    problems.append(
      "the table \(table) has no \(missing.map(\.name).joined(separator: ", ")) that inserts fill: "
        + "ALTER TABLE \(table.sql) \(columns.joined(separator: ", ")); rows that are there already stay without an origin"
    )
  }

  /// What the engines do to rows, which an audit would otherwise take for losses.
  func notes(of chosen: Set<Int>) async throws(PipelineError) -> [String] {
    var notes: [String] = []
    for table in Set(chosen.map { routes[$0].table }).sorted(by: { $0.description < $1.description }) {
      let database = table.database ?? client.configuration.database
      let client = client
      let words = try await Self.ask { () throws(ClickHouseError) in
        try await client.queryText(
          "SELECT engine, engine_full FROM system.tables WHERE database = \(TableName.literal(database)) "
            + "AND name = \(TableName.literal(table.table)) FORMAT TabSeparated")
      }.split(separator: "\t", maxSplits: 1).map(String.init)
      guard words.count == 2 else { continue }
      let merging = ["Replacing", "Summing", "Aggregating", "Collapsing", "Graphite", "Coalescing"]
      if merging.contains(where: { words[0].contains($0) }) {
        notes.append(
          "the table \(table) is a \(words[0]), which merges rows of equal keys: an offset that is missing may have been "
            + "merged into another, and a doubled one may disappear")
      }
      if words[1].contains(" TTL ") {
        notes.append("the table \(table) has a TTL: an offset that is missing may have been too old to keep")
      }
    }
    return notes
  }

  static func ask<Answer: Sendable>(
    _ body: @Sendable () async throws(ClickHouseError) -> Answer
  ) async throws(PipelineError) -> Answer {
    do throws(ClickHouseError) { return try await body() } catch { throw SchemaReader.startError(error) }
  }
}
