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
