/// A table, with its database where that is not the client's own.
public struct TableName: Sendable, Hashable, CustomStringConvertible {
  public let database: String?
  public let table: String

  public init(database: String? = nil, table: String) {
    self.database = database
    self.table = table
  }

  /// `table` or `database.table`; a name that holds a dot stands in back-ticks.
  public init(_ text: String) throws(ClickHouseError) {
    var parts: [String] = [""]
    var isQuoted = false
    for character in text {
      switch character {
      case "`": isQuoted.toggle()
      case "." where !isQuoted: parts.append("")
      default: parts[parts.count - 1].append(character)
      }
    }
    guard !isQuoted, (1...2).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else {
      throw ClickHouseError(
        code: .configuration, message: "'\(text)' is not the name of a table; give it as table or database.table")
    }
    self.init(database: parts.count == 2 ? parts[0] : nil, table: parts[parts.count - 1])
  }

  public var description: String { database.map { "\($0).\(table)" } ?? table }

  /// As it stands in SQL.
  public var sql: String { (database.map { Self.quote($0) + "." } ?? "") + Self.quote(table) }

  static func quote(_ identifier: String) -> String {
    quoted(identifier, "`")
  }

  /// A string literal of SQL.
  public static func literal(_ text: String) -> String {
    quoted(text, "'")
  }

  /// By scalars, not by characters: a combining mark after a quote makes another character of it, and still a quote of SQL.
  private static func quoted(_ text: String, _ quote: Unicode.Scalar) -> String {
    var result = String.UnicodeScalarView([quote])
    for scalar in text.unicodeScalars {
      if scalar == quote || scalar == "\\" { result.append("\\") }
      result.append(scalar)
    }
    result.append(quote)
    return String(result)
  }
}
