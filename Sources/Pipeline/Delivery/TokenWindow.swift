internal import ClickHouseClient
internal import SinkThreads

/// How many tokens a table remembers, and for how long.
struct TokenWindow: Sendable, Hashable {
  /// With its database.
  let table: TableName
  let tokens: Int
  /// nil where only their number counts.
  let age: Duration?

  /// - Parameter rate: tokens a second, of all writers.
  func horizon(at rate: Double) -> Duration {
    let byCount = Duration.seconds(Double(tokens) / max(rate, 0.001))
    return age.map { min($0, byCount) } ?? byCount
  }
}

/// The rate at which a table's tokens are used up: one for each part that an insert makes, whoever inserts.
///
/// An intent may be as old as the horizon, so what counts is the busiest minute of the hour behind, and no less than what is
/// assumed at the start: what a server shows of its parts may lack some, and others may begin to write.
struct TokenRate: Sendable {
  static let assumed = 10.0
  static let memory = Duration.seconds(3600)

  private var minutes: [(at: MonotonicInstant, rate: Double)] = []

  mutating func note(_ parts: Int, in span: Duration, _ now: MonotonicInstant) {
    minutes.append((now, Double(parts) / max(1, span.seconds)))
    minutes.removeAll { now - $0.at > Self.memory }
  }

  var rate: Double { minutes.reduce(Self.assumed) { max($0, $1.rate) } }
}

/// What `system.parts` shows of it: the parts that merges have not made, also those that they have replaced, which a server
/// keeps for eight minutes.
extension TokenRate {
  private static func query(_ columns: String, _ table: TableName, _ span: Duration) -> String {
    "SELECT \(columns) FROM system.parts WHERE database = \(TableName.literal(table.database ?? "")) "
      + "AND table = \(TableName.literal(table.table)) AND level = 0 AND modification_time > now() - \(Int(span.seconds))"
  }

  /// - Parameter table: with its database.
  /// - Returns: nil where the server does not say.
  static func newParts(of table: TableName, in span: Duration, _ client: ClickHouseClient) async -> Int? {
    let text = try? await client.queryText(query("count()", table, span))
    return text.flatMap { Int($0.trimmed) }
  }

  /// Tokens a second in the busiest of the last eight minutes.
  /// - Parameter table: with its database.
  /// - Returns: nil where the server does not say.
  static func busiestMinute(of table: TableName, _ client: ClickHouseClient) async -> Double? {
    let minutes =
      query("count() AS parts", table, .seconds(480)) + " GROUP BY toStartOfMinute(modification_time)"
    let text = try? await client.queryText("SELECT max(parts) FROM (\(minutes))")
    return text.flatMap { Int($0.trimmed) }.map { Double($0) / 60 }
  }
}
