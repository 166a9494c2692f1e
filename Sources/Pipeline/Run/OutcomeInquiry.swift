internal import ClickHouseClient
internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Looks up what became of inserts whose outcome is unknown, where the server keeps `system.processes` and
/// `system.query_log`. For the log alone: nothing is decided by it.
final class OutcomeInquiry: Sendable {
  private struct Question {
    let queryID: String
    let table: String
    let since: MonotonicInstant
  }

  /// One that comes while so many wait is not looked up: in a long outage they are all alike.
  static let waitingLimit = 8
  /// After the outcome became unknown. The query log is written every 7.5 s by default.
  static let looks: [Duration] = [.seconds(1), .seconds(4), .seconds(10)]

  private let client: ClickHouseClient
  private let logger: Logger
  private let time: TimeSource
  private let looks: [Duration]
  private let questions = ErrandQueue<Question>(limit: waitingLimit)
  /// System tables that the server does not have or not show.
  private let missing = Mutex<Set<String>>([])

  init(client: ClickHouseClient, logger: Logger, time: TimeSource, looks: [Duration] = OutcomeInquiry.looks) {
    self.looks = looks
    self.client = client
    self.logger = logger
    self.time = time
  }

  /// From any thread.
  func ask(_ queryID: String, table: String) {
    guard missing.withLock({ $0.count < 2 }) else { return }
    questions.add(Question(queryID: queryID, table: table, since: time.monotonic())) { await self.serve() }
  }

  func close() async { await questions.close() }

  private func serve() async {
    while let question = questions.take({ $0.removeFirst() }) {
      var words: String?
      for look in looks {
        let wait = question.since + look - time.monotonic()
        if wait > .zero { try? await Task.sleep(for: wait) }
        guard !Task.isCancelled else { return }
        words = await fate(of: question.queryID)
        if let words, words != Self.running { break }
      }
      logger.notice(
        "what became of an insert whose outcome was unknown",
        ["table": question.table, "query_id": question.queryID, "server_says": words ?? silence])
    }
  }

  private static let running = "it is still running"

  private var silence: String {
    let hasLog = !missing.withLock { $0.contains("query_log") }
    return hasLog
      ? "it is not running, and the query log does not have it: it never arrived, or is not logged"
      : "it is not running; there is no query log to say more"
  }

  /// - Returns: nil while the server does not say.
  private func fate(of queryID: String) async -> String? {
    let place = "WHERE query_id = \(TableName.literal(queryID))"
    if let count = await answer("processes", "SELECT count() FROM system.processes \(place)"), count != "0" {
      return Self.running
    }
    // Types: 1 started, 2 finished, 3 and 4 failed before and after the start.
    guard
      let row = await answer(
        "query_log", "SELECT toInt8(type), exception FROM system.query_log \(place) ORDER BY toInt8(type) DESC LIMIT 1")
    else { return nil }
    let fields = row.split(separator: "\t", maxSplits: 1)
    switch fields.first {
    case "2": return "it has finished"
    case "3", "4": return "it has failed: \(fields.count > 1 ? String(fields[1].prefix(300)) : "no reason given")"
    default: return nil
    }
  }

  /// Tables that the server does not show are not asked again.
  private func answer(_ table: String, _ sql: String) async -> String? {
    guard !missing.withLock({ $0.contains(table) }) else { return nil }
    do throws(ClickHouseError) {
      return try await client.queryText(sql).trimmed
    } catch {
      if error.code == .server, error.reaction == .pauseAndAlarm {
        missing.withLock { _ = $0.insert(table) }
      }
      return nil
    }
  }
}
