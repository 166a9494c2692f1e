import ClickHouseClient
import ClickHouseTestKit
import SinkTelemetry
import SinkThreads
import Synchronization
import TestServers
import Testing

@testable import Pipeline

/// What the log says of inserts whose outcome is unknown.
@Suite struct OutcomeInquiryTests {
  private final class Log: Sendable {
    private let events = Mutex<[LogEvent]>([])
    var logger: Logger { Logger(source: "test", level: .debug) { event in self.events.withLock { $0.append(event) } } }

    /// What was said of the query, once it is.
    func said(of queryID: String) async throws -> String {
      for _ in 0..<1500 {
        let found = events.withLock { events in
          events.lazy.map(\.metadata).first { $0.contains { $0.key == "query_id" && $0.value == queryID } }
        }
        if let found { return found.first { $0.key == "server_says" }?.value ?? "" }
        try await Task.sleep(for: .milliseconds(20))
      }
      return "nothing was logged"
    }
  }

  private func ask(_ url: String, _ queryID: String, _ looks: [Duration]) async throws -> String {
    let client = try ClickHouseClient(ClickHouseConfiguration(url: url))
    let log = Log()
    let inquiry = OutcomeInquiry(
      client: client, logger: log.logger, time: .system, looks: looks)
    inquiry.ask(queryID, table: "t")
    let words = try await log.said(of: queryID)
    await inquiry.close()
    client.close()
    return words
  }

  private static let soon: [Duration] = [.milliseconds(10), .milliseconds(100), .milliseconds(200)]
  private static let empty = ServerAnswer(200, text: "")
  private static let none = ServerAnswer(200, text: "0\n")

  /// Answers of `system.processes` and `system.query_log` in turn, as they are asked.
  @Test(
    arguments: [
      ([ServerAnswer](repeating: ServerAnswer(200, text: "1\n"), count: 3), "it is still running"),
      ([none, empty, none, empty, none, empty], "it never arrived"),
      ([none, empty, none, ServerAnswer(200, text: "2\t\n")], "it has finished"),
      ([none, ServerAnswer(200, text: "4\tCode: 252, too many\n")], "it has failed: Code: 252"),
      ([none, .exception(60, "no such table", status: 404), none, none], "there is no query log"),
    ])
  func whatAServerSays(answers: [ServerAnswer], words: String) async throws {
    let server = try ScriptedServer(
      ServerScript { request, _ in
        request.index < answers.count ? .answer(answers[request.index]) : .refuse(1001)
      })
    defer { server.stop() }
    #expect(try await ask(server.url, "sinkctl-1", Self.soon).contains(words))
    #expect(server.requests.count == answers.count)
  }

  @Test(.enabled(if: ClickHouseServer.program != nil, "clickhouse-server is not installed"))
  func aRealServerKnows() async throws {
    let server = try await ClickHouseServer.start()
    defer { server.stop() }
    var configuration = ClickHouseConfiguration(url: server.url)
    configuration.settings = [("log_queries", "1")]
    let client = try ClickHouseClient(configuration)
    defer { client.close() }
    _ = try await client.queryText("CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
    var block = try await client.emptyBlock(for: "t")
    try block.appendRow(["id": 1])
    let encoded = try EncodedBlock(block, compression: .none)
    func insert(into table: String) async throws -> String {
      let request = InsertRequest(table: try TableName(table), block: encoded)
      return await withCheckedContinuation { done in client.insert(request) { done.resume(returning: $0.queryID) } }
    }
    let landed = try await insert(into: "t")
    // The server writes its log every few seconds.
    _ = try await client.queryText("SYSTEM FLUSH LOGS")
    #expect(try await ask(server.url, landed, (1...20).map { .milliseconds($0 * 500) }) == "it has finished")
    #expect(try await ask(server.url, "sinkctl-none", Self.soon).contains("it never arrived"))
  }
}
