import ClickHouseClient
import ClickHouseTestKit
import TestServers
import Testing

/// Every wait has an end, and every queue a bound.
@Suite struct DeadlineTests {
  /// Far from the five minutes that a request has by default, and far from what a busy machine takes.
  private static let soon = Duration.seconds(60)

  private func expectEnd(
    _ step: ServerStep, rows: Int = 3, textBytes: Int = 10, told: Told = .unknown(nil),
    _ change: (inout ClickHouseConfiguration) -> Void
  ) async throws {
    let server = try ScriptedServer(ServerScript([step]), receiveBufferBytes: 4096)
    defer { server.stop() }
    let client = try Scripted.client(server, change)
    defer { client.close() }
    let start = ContinuousClock.now
    let outcome = try await Scripted.insert(client, rows: rows, textBytes: textBytes)
    #expect(Told(outcome) == told, "\(outcome)")
    #expect(outcome.error?.code == .transport && outcome.error?.isRetriable == true, "\(outcome)")
    #expect(ContinuousClock.now - start < Self.soon)
    #expect(server.inserts.count == 1)
  }

  @Test func anAnswerThatNeverComesEndsWithTheRequestsDeadline() async throws {
    try await expectEnd(.stallAfterBody) { $0.requestTimeout = .seconds(3) }
  }

  @Test func aBodyThatIsNeverReadEndsWithTheRequestsDeadline() async throws {
    try await expectEnd(.stallBeforeBody, rows: 20, textBytes: 1 << 20) { $0.requestTimeout = .seconds(3) }
  }

  @Test func aStalledTransferEndsBeforeTheRequestsDeadline() async throws {
    try await expectEnd(.stallAfterBody) { $0.stallTimeout = .seconds(1) }
  }

  @Test func halfAnAnswerEndsToo() async throws {
    try await expectEnd(ServerStep([.readBody, .sendPart(.ok, bytes: 40), .stall])) {
      $0.requestTimeout = .seconds(3)
    }
  }

  @Test func anAnswerThatOnlyDripsEndsWithTheRequestsDeadline() async throws {
    let slow = ServerStep([.readBody, .sendSlowly(.ok, bytes: 1, every: .milliseconds(100))])
    try await expectEnd(slow) { $0.requestTimeout = .seconds(3) }
  }

  /// TLS is never spoken: the connection does not stand, so nothing was sent.
  @Test func aConnectionThatNeverStandsEndsWithItsDeadline() async throws {
    let server = try ScriptedServer(isMute: true)
    defer { server.stop() }
    var configuration = ClickHouseConfiguration(url: "https://127.0.0.1:\(server.port)")
    configuration.connectTimeout = .seconds(3)
    let client = try ClickHouseClient(configuration)
    defer { client.close() }
    let outcome = try await Scripted.insert(client)
    #expect(Told(outcome) == .rejected(nil), "nothing was sent")
    #expect(outcome.error?.code == .transport && outcome.error?.isRetriable == true, "\(outcome)")
  }

  @Test func aServerThatIsNotThereIsNeverSentTo() async throws {
    var configuration = ClickHouseConfiguration(url: "http://127.0.0.1:1")
    configuration.connectTimeout = .patience
    let client = try ClickHouseClient(configuration)
    defer { client.close() }
    let outcome = try await Scripted.insert(client)
    #expect(Told(outcome) == .rejected(nil))
    #expect(outcome.error?.reaction == .retry, "\(outcome)")
  }
}

/// How requests share connections and wait their turn.
@Suite struct ConnectionTests {
  @Test func connectionsAreKeptAndReused() async throws {
    let server = try ScriptedServer()
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    for _ in 0..<20 { #expect(Told(try await Scripted.insert(client)) == .accepted) }
    #expect(server.connectionCount == 1 && server.inserts.count == 20)
  }

  /// libcurl would send the body again by itself, in silence: the server counts the posts.
  @Test(arguments: [ServerStep.closeAfterBody, .resetAfterBody, .resetBeforeBody])
  func aReusedConnectionThatDiesDoesNotPostTwice(step: ServerStep) async throws {
    let server = try ScriptedServer(ServerScript([.accept, step]))
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    #expect(Told(try await Scripted.insert(client)) == .accepted)
    let outcome = try await Scripted.insert(client)
    #expect(Told(outcome) == .unknown(nil), "\(outcome)")
    #expect(server.inserts.map(\.connection) == [0, 0], "the second insert reused the first one's connection")
    #expect(Told(try await Scripted.insert(client)) == .accepted)
    #expect(server.inserts.count == 3)
  }

  /// A server ends connections that were idle for a while: the next insert takes a new one, and nothing is unknown.
  @Test func aConnectionThatEndedWhileIdleIsNotUsed() async throws {
    let server = try ScriptedServer(ServerScript([ServerStep([.readBody, .send(.ok), .close])]))
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    #expect(Told(try await Scripted.insert(client)) == .accepted)
    try await eventually("the connection ends") { server.openConnectionCount == 0 }
    #expect(Told(try await Scripted.insert(client)) == .accepted)
    #expect(server.inserts.map(\.connection) == [0, 1])
  }

  @Test func theServersSummaryIsRead() async throws {
    var answer = ServerAnswer.ok
    answer.headers.append(("X-ClickHouse-Summary", #"{"read_rows":"3","written_rows":"3","written_bytes":"45"}"#))
    let server = try ScriptedServer(ServerScript([.answer(answer)]))
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    guard case .accepted(let summary) = try await Scripted.insert(client) else {
      Issue.record("accepted")
      return
    }
    #expect(summary == InsertSummary(writtenRows: 3, writtenBytes: 45))
  }

  @Test func asManyRequestsAreUnderWayAsConfigured() async throws {
    let gate = ServerGate()
    let server = try ScriptedServer(ServerScript(afterwards: .hold(gate)))
    defer { server.stop() }
    let client = try Scripted.client(server) { $0.requestsInFlight = 3 }
    defer { client.close() }
    try await withThrowingTaskGroup(of: InsertOutcome.self) { group in
      for _ in 0..<8 { group.addTask { try await Scripted.insert(client) } }
      #expect(await server.waitForInserts(3))
      // A fourth would have come by now.
      try await Task.sleep(for: .milliseconds(200))
      #expect(server.inserts.count == 3)
      gate.open()
      for try await outcome in group { #expect(Told(outcome) == .accepted) }
    }
    #expect(server.inserts.count == 8 && server.connectionCount == 3)
  }

  @Test func aQueueThatIsFullRefusesAtOnce() async throws {
    let gate = ServerGate()
    let server = try ScriptedServer(ServerScript(afterwards: .hold(gate)))
    defer { server.stop() }
    let client = try Scripted.client(server) {
      $0.requestsInFlight = 1
      $0.requestsWaitingLimit = 2
    }
    defer { client.close() }
    try await withThrowingTaskGroup(of: InsertOutcome.self) { group in
      group.addTask { try await Scripted.insert(client) }
      #expect(await server.waitForInserts(1))
      for _ in 0..<5 { group.addTask { try await Scripted.insert(client) } }
      // Three of them find no place; which, nobody knows.
      for _ in 0..<3 {
        let outcome = try #require(try await group.next())
        #expect(outcome.error?.code == .limitExceeded && Told(outcome) == .rejected(nil), "\(outcome)")
      }
      gate.open()
      for try await outcome in group { #expect(Told(outcome) == .accepted) }
    }
    #expect(server.inserts.count == 3)
  }

  @Test func closingEndsWhatIsUnderWayAndWhatWaits() async throws {
    let server = try ScriptedServer(ServerScript(afterwards: .stallAfterBody))
    defer { server.stop() }
    let client = try Scripted.client(server) { $0.requestsInFlight = 1 }
    async let first = Scripted.insert(client)
    #expect(await server.waitForInserts(1))
    // What was sent is unknown from then on.
    try await eventually("the whole body") { server.inserts.first?.isBodyWhole == true }
    async let second = Scripted.insert(client)
    try await Task.sleep(for: .milliseconds(50))
    client.close()
    let outcomes = try await (first, second)
    #expect(Told(outcomes.0) == .unknown(nil) && outcomes.0.error?.code == .cancelled, "\(outcomes.0)")
    #expect(Told(outcomes.1) == .rejected(nil) && outcomes.1.error?.code == .cancelled, "\(outcomes.1)")
    let late = try await Scripted.insert(client)
    #expect(Told(late) == .rejected(nil) && late.error?.code == .cancelled, "\(late)")
  }

  @Test func aCancelledTaskEndsItsInsert() async throws {
    let server = try ScriptedServer(
      ServerScript(afterwards: .stallAfterBody), tables: Scripted.tables)
    defer { server.stop() }
    let client = try Scripted.client(server) { $0.requestsInFlight = 1 }
    defer { client.close() }
    let task = Task {
      var block = try await client.emptyBlock(for: "events")
      try block.appendRow(["id": 1, "text": "x"])
      return await client.insert(block)
    }
    #expect(await server.waitForInserts(1))
    try await eventually("the whole body") { server.inserts.first?.isBodyWhole == true }
    task.cancel()
    let outcome = try await task.value
    #expect(Told(outcome) == .unknown(nil) && outcome.error?.code == .cancelled, "\(outcome)")
    // The place that it held is free again.
    #expect(try await client.queryText("SELECT 1") == "1\n")
  }

  @Test func userAndPasswordAreInHeadersAlone() async throws {
    let server = try ScriptedServer(tables: Scripted.tables)
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    var block = try await client.emptyBlock(for: "events")
    try block.appendRow(["id": 1, "text": "x"])
    #expect(Told(await client.insert(block, deduplicationToken: "a/b c")) == .accepted)
    for request in server.requests {
      #expect(!request.target.contains("zoe-the-user") && !request.target.contains("not-in-the-url"))
      #expect(
        request.header("X-ClickHouse-User") == "zoe-the-user" && request.header("X-ClickHouse-Key") == "not-in-the-url")
    }
    let insert = try #require(server.inserts.first)
    #expect(insert.parameter("insert_deduplication_token") == "a/b c")
    #expect(insert.parameter("async_insert") == "0" && insert.parameter("insert_deduplicate") == "1")
    #expect(insert.parameter("query") == "INSERT INTO `events` (`id`, `text`) FORMAT Native")
    #expect(insert.header("Content-Length") != nil && insert.header("Expect") == nil)
    #expect(try insert.rows() == [[.uint(1), "x"]])
    let ids = server.requests.compactMap { $0.parameter("query_id") }
    #expect(ids.count == server.requests.count && Set(ids).count == ids.count, "each attempt has an id of its own")
  }
}
