/// What a server says of a table.
public struct TableDescription: Sendable {
  public let name: TableName
  /// `MergeTree`, `ReplicatedMergeTree`, …; empty where the server does not tell.
  public let engine: String
  public let columns: [ColumnDescription]

  public init(name: TableName, engine: String, columns: [ColumnDescription]) {
    self.name = name
    self.engine = engine
    self.columns = columns
  }

  /// What an insert may name.
  public var insertable: [ColumnDescription] {
    columns.filter { $0.defaultKind == .none || $0.defaultKind == .default }
  }
}

public struct ColumnDescription: Sendable {
  /// How a column gets a value when an insert does not name it.
  public enum DefaultKind: String, Sendable {
    case none = ""
    case `default` = "DEFAULT"
    case materialized = "MATERIALIZED"
    case alias = "ALIAS"
    case ephemeral = "EPHEMERAL"
  }

  public let name: String
  public let type: ColumnType
  public let defaultKind: DefaultKind
  /// As SQL; empty where there is none.
  public let defaultExpression: String

  public init(name: String, type: ColumnType, defaultKind: DefaultKind = .none, defaultExpression: String = "") {
    self.name = name
    self.type = type
    self.defaultKind = defaultKind
    self.defaultExpression = defaultExpression
  }
}

extension ClickHouseClient {
  /// Reads a table's columns and engine.
  /// - Throws: the server's error, which names a table that is missing; `invalidType` for a type it cannot make out.
  public func describe(_ table: TableName) async throws(ClickHouseError) -> TableDescription {
    let text = try await queryText("DESCRIBE TABLE \(table.sql) FORMAT TabSeparated")
    var columns: [ColumnDescription] = []
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map { Self.unescaped($0) }
      guard fields.count >= 4 else { continue }
      columns.append(
        ColumnDescription(
          name: fields[0], type: try ColumnType.parse(fields[1]),
          defaultKind: ColumnDescription.DefaultKind(rawValue: fields[2]) ?? .none, defaultExpression: fields[3]))
    }
    let engine = try await queryText(
      "SELECT engine FROM system.tables WHERE database = \(TableName.literal(table.database ?? configuration.database)) "
        + "AND name = \(TableName.literal(table.table)) FORMAT TabSeparated")
    return TableDescription(name: table, engine: engine.trimmed, columns: columns)
  }

  /// An empty block with the columns that an insert into the table may name; the block knows the table.
  /// - Throws: what the server says, and `unsupportedType` with the column and its type where one cannot be written
  ///   yet.
  public func emptyBlock(for table: TableName) async throws(ClickHouseError) -> Block {
    let description = try await describe(table)
    return Block(layout: try BlockLayout(description.insertable.map { ($0.name, $0.type) }, table: table))
  }

  /// The same, for a table given as `table` or `database.table`.
  public func emptyBlock(for table: String) async throws(ClickHouseError) -> Block {
    try await emptyBlock(for: TableName(table))
  }

  /// TabSeparated's escapes undone.
  static func unescaped(_ text: Substring) -> String {
    guard text.contains("\\") else { return String(text) }
    var result = String.UnicodeScalarView()
    var isEscaped = false
    for scalar in text.unicodeScalars {
      guard isEscaped else {
        if scalar == "\\" { isEscaped = true } else { result.append(scalar) }
        continue
      }
      isEscaped = false
      switch scalar {
      case "n": result.append("\n")
      case "t": result.append("\t")
      case "r": result.append("\r")
      case "b": result.append("\u{8}")
      case "f": result.append("\u{c}")
      case "0": result.append("\0")
      default: result.append(scalar)
      }
    }
    return String(result)
  }
}
