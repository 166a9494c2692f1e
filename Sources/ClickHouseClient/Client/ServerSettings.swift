internal import Synchronization

/// A setting of the server as the profile of our user has it.
struct ServerSetting: Sendable, Equatable {
  let value: String
  /// A constraint of the profile: nobody may change it. Setting it to what it is is allowed.
  var isFixed = false
  var least: Double?
  var most: Double?

  /// Why the profile would refuse a value; nil: it would not, as far as `system.settings` tells.
  func refusal(of wanted: String) -> String? {
    if wanted == value { return nil }
    if isFixed { return "fixes it at '\(value)'" }
    guard let number = Double(wanted) else { return nil }
    if let most, number > most { return "allows \(Self.text(most)) at most" }
    if let least, number < least { return "allows \(Self.text(least)) at least" }
    return nil
  }

  private static func text(_ number: Double) -> String { Int(exactly: number).map(String.init) ?? "\(number)" }
}

/// What we ask of the server whatever its defaults and the profile of our user are, as far as it knows the settings.
enum WantedSettings {
  /// With each insert.
  static let inserts: [(name: String, value: String)] = [
    // Since 26.2 asynchronous inserts are the default: they would cut and merge our blocks.
    ("async_insert", "0"),
    ("http_write_exception_in_output_format", "0"),
    // With `break` an insert that takes longer than `max_execution_time` is given up, and its answer says success.
    ("timeout_overflow_mode", "throw"),
  ]

  static let token = "insert_deduplication_token"

  /// With each insert that has a token: what makes the server heed it.
  static let tokens: [(name: String, value: String)] = [
    ("insert_deduplicate", "1"),
    // Where it is known it overrules the one above: a profile with `disable` would double every repeated block.
    ("deduplicate_insert", "enable"),
    // A block would be cut by the profile's sizes, each piece with a token of its own: other sizes, other pieces.
    ("use_strict_insert_block_limits", "0"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
  ]

  /// With an insert that has none, and must not be taken for another one of the same rows.
  static let withoutTokens: [(name: String, value: String)] = [
    ("insert_deduplicate", "0"), ("deduplicate_insert", "disable"),
  ]

  /// With questions whose answers decide: all of the rows, as they are now, or an error.
  static let exactAnswers: [(name: String, value: String)] = [
    ("select_sequential_consistency", "1"), ("use_query_cache", "0"), ("skip_unavailable_shards", "0"),
    ("timeout_overflow_mode", "throw"), ("read_overflow_mode", "throw"), ("read_overflow_mode_leaf", "throw"),
    ("group_by_overflow_mode", "throw"), ("distinct_overflow_mode", "throw"), ("set_overflow_mode", "throw"),
    ("sort_overflow_mode", "throw"), ("result_overflow_mode", "throw"), ("limit", "0"), ("offset", "0"),
  ]

  static var names: Set<String> {
    Set((inserts + tokens + exactAnswers).map(\.name) + [token, "input_format_null_as_default", "max_execution_time"])
  }
}

extension ClickHouseClient {
  /// Asks the server once which of the settings that we send it knows (an unknown one is error 115), and what the
  /// user's profile makes of them. Whoever inserts through a completion calls this before; without it no setting is
  /// sent.
  public func learnSettings() async throws(ClickHouseError) {
    guard settings.withLock({ $0 == nil }) else { return }
    let names = WantedSettings.names.sorted().map(TableName.literal).joined(separator: ", ")
    var found: [String: ServerSetting] = [:]
    let text = try await queryText(
      "SELECT * FROM system.settings WHERE name IN (\(names)) FORMAT TabSeparatedWithNames")
    let lines = text.split(separator: "\n").map { $0.split(separator: "\t", omittingEmptySubsequences: false) }
    for line in lines.dropFirst() {
      // Old servers show nothing but the value.
      let row = Dictionary(zip(lines[0], line)) { first, _ in first }
      guard let name = row["name"] else { continue }
      found[String(name)] = ServerSetting(
        value: String(row["value"] ?? ""), isFixed: row["readonly"] == "1",
        least: row["min"].flatMap { Double($0) }, most: row["max"].flatMap { Double($0) })
    }
    settings.withLock { $0 = found }
  }

  /// Whether the server has a setting, of those that this library sends; false before `learnSettings`.
  public func knowsSetting(_ name: String) -> Bool { settings.withLock { $0?[name] != nil } }

  func known(_ wanted: [(name: String, value: String)]) -> [(name: String, value: String)] {
    wanted.filter { knowsSetting($0.name) }
  }

  /// Which of these the user's profile does not let us have, in words that name it, what is needed and what to do.
  package func refusals(of wanted: [(name: String, value: String)]) -> [String] {
    let known = settings.withLock { $0 } ?? [:]
    return wanted.compactMap { name, value in
      known[name]?.refusal(of: value).map { advice("the settings profile \($0)", name, value) }
    }
  }

  /// Why the server would not go by a token of ours; none of a server that knows no tokens.
  package var tokenRefusals: [String] { refusals(of: WantedSettings.tokens + [(WantedSettings.token, "a token")]) }

  /// Whether the server goes by tokens of ours.
  package var usesTokens: Bool { knowsSetting(WantedSettings.token) && tokenRefusals.isEmpty }

  /// For inserts without a token that must not be dropped as known: rows that come twice are two rows. What the profile
  /// does not allow is left out.
  package var settingsWithoutTokens: [(name: String, value: String)] {
    known(WantedSettings.withoutTokens).filter { refusals(of: [$0]).isEmpty }
  }

  /// Asks what must not be answered in part or from a cache.
  package func queryExactly(_ sql: String) async throws(ClickHouseError) -> String {
    try await learnSettings()
    // Old servers take no number in quotes.
    let clause = known(WantedSettings.exactAnswers).map { name, value in
      "\(name) = \(Int(value) == nil ? TableName.literal(value) : value)"
    }
    do throws(ClickHouseError) {
      return try await queryText(clause.isEmpty ? sql : "\(sql) SETTINGS \(clause.joined(separator: ", "))")
    } catch {
      throw advised(error, WantedSettings.exactAnswers)
    }
  }

  private func advice(_ obstacle: String, _ name: String, _ value: String) -> String {
    "\(name) = \(value) is needed, and \(obstacle): let the user '\(configuration.user)' have it (the constraints of the "
      + "settings profile)"
  }

  /// An error with what the server leaves out: which value was sent, and who can allow it.
  func advised(_ error: ClickHouseError, _ sent: [(name: String, value: String)]) -> ClickHouseError {
    // READONLY, SETTING_CONSTRAINT_VIOLATION
    guard error.code == .server, let code = error.serverCode, [164, 452].contains(code) else { return error }
    let words = Set(error.message.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init))
    let more: String
    if let own = configuration.settings.first(where: { words.contains($0.name) }) {
      more = "clickhouse.settings sends \(own.name) = \(own.value)"
    } else if let (name, value) = sent.first(where: { words.contains($0.name) && knowsSetting($0.name) }) {
      more = advice("it refuses that", name, value)
    } else if code == 164 {
      more = "that needs a user whose settings profile has readonly = 0"
    } else {
      return error
    }
    return ClickHouseError(
      code: error.code, message: "\(error.message); \(more)", serverCode: code, isRetriable: error.isRetriable)
  }
}
