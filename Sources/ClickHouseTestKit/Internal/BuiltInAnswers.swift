/// What a server without a real one behind it says to the questions that a client asks at start.
enum BuiltInAnswers {
  static func answer(to sql: String, tables: [ScriptedTable]) -> ServerAnswer {
    func text(_ text: String) -> ServerAnswer { ServerAnswer(200, text: text) }
    if sql.contains("SELECT version()") { return text("26.9.1.1\n") }
    if sql.contains("SELECT timezone()") { return text("UTC\n") }
    if sql.hasPrefix("SELECT 1") { return text("1\n") }
    if sql.contains("FROM system.settings") {
      // Every setting that is asked for is known.
      let names = sql.split(separator: "'", omittingEmptySubsequences: false).enumerated()
      return text("name\n" + names.filter { $0.offset % 2 == 1 }.map { $0.element + "\n" }.joined())
    }
    if sql.contains("FROM system.tables") { return text("MergeTree\n") }
    if sql.hasPrefix("DESCRIBE TABLE ") {
      let asked = sql.dropFirst("DESCRIBE TABLE ".count).prefix { !$0.isWhitespace }.filter { $0 != "`" }
      guard let table = tables.first(where: { $0.name == asked || asked.hasSuffix("." + $0.name) }) else {
        return .exception(60, "the script has no table \(asked)", status: 404)
      }
      return text(table.columns.map { "\(escaped($0.name))\t\(escaped($0.type))\t\t\t\t\t\n" }.joined())
    }
    return text("")
  }

  /// As TabSeparated has it: types hold quotes.
  private static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\t": result += "\\t"
      case "\n": result += "\\n"
      case "\\", "'": result += "\\" + String(scalar)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
