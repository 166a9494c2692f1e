internal import ClickHouseClient

/// What a server says of a table beyond its columns, where delivery depends on it.
struct TableFacts: Sendable {
  /// With its database.
  let name: TableName
  let engine: String
  /// The engine's clause, settings included.
  let engineFull: String
  let partitionKey: String
  let sortingKey: String
  /// Materialized views that each insert goes through.
  let views: [TableName]
  /// Of a view.
  let select: String
  let create: String
  /// Where a materialized view's rows go; nil of anything else, and where that cannot be made out.
  let target: TableName?

  var isReplicated: Bool { engine.hasPrefix("Replicated") || engine.hasPrefix("Shared") }

  /// Filled on a schedule, not by inserts.
  var isRefreshable: Bool { create.contains(" REFRESH EVERY ") || create.contains(" REFRESH AFTER ") }

  /// - Throws: what the server says; `configuration` where it has no such table.
  static func read(_ table: TableName, _ client: ClickHouseClient) async throws(ClickHouseError) -> TableFacts {
    let database = TableName.literal(table.database ?? client.configuration.database)
    let text = try await client.queryText(
      "SELECT name FROM system.columns WHERE database = 'system' AND table = 'tables'")
    let known = Set(text.split(separator: "\n").map(String.init))
    let columns = wantedColumns.filter { known.contains($0) }.map { $0 == "uuid" ? "toString(uuid) AS uuid" : $0 }
    let rows = client.query(
      "SELECT database, \(columns.joined(separator: ", ")) FROM system.tables "
        + "WHERE database = \(database) AND name = \(TableName.literal(table.table))")
    for try await row in rows { return TableFacts(row, table.table) }
    throw ClickHouseError(code: .configuration, message: "the server shows nothing of the table \(table)")
  }

  /// Younger servers have more of them; what is not there is empty.
  private static let wantedColumns = [
    "engine", "engine_full", "partition_key", "sorting_key", "create_table_query", "as_select", "uuid",
    "target_database",
    "target_table", "dependencies_database", "dependencies_table",
  ]

  private init(_ row: ClickHouseRow, _ table: String) {
    func text(_ column: String) -> String { row[column]?.string ?? "" }
    func texts(_ column: String) -> [String] {
      guard case .array(let values)? = row[column] else { return [] }
      return values.compactMap(\.string)
    }
    let database = text("database")
    name = TableName(database: database, table: table)
    engine = text("engine")
    engineFull = text("engine_full")
    partitionKey = text("partition_key")
    sortingKey = text("sorting_key")
    select = text("as_select")
    create = text("create_table_query")
    views = zip(texts("dependencies_database"), texts("dependencies_table")).map { TableName(database: $0, table: $1) }
    if engine != "MaterializedView" {
      target = nil
    } else if !text("target_table").isEmpty {
      target = TableName(database: text("target_database"), table: text("target_table"))
    } else {
      target = Self.target(ofView: table, in: database, id: text("uuid"), create: create)
    }
  }

  /// Where a materialized view's rows go, by the statement that made it: `… TO db.table (…) AS …`, or a table of its own.
  static func target(ofView view: String, in database: String, id: String, create: String) -> TableName? {
    var isQuoted = false
    var word = ""
    var words: [String] = []
    for character in create {
      if character == "`" { isQuoted.toggle() }
      if !isQuoted, character == " " || character == "(" {
        words.append(word)
        word = ""
        if character == "(" { break }
      } else {
        word.append(character)
      }
    }
    if let index = words.firstIndex(of: "TO"), index + 1 < words.count {
      guard let named = try? TableName(words[index + 1]) else { return nil }
      return TableName(database: named.database ?? database, table: named.table)
    }
    let hasID = id.contains { $0 != "0" && $0 != "-" }
    return TableName(database: database, table: hasID ? ".inner_id.\(id)" : ".inner.\(view)")
  }

  /// A setting as the table has it; nil where it has the server's.
  func setting(_ name: String) -> Int? {
    let words = engineFull.split { $0 == "," || $0 == " " || $0 == "=" }
    guard let index = words.firstIndex(where: { $0 == name }), index + 1 < words.count else { return nil }
    return Int(words[index + 1])
  }
}
