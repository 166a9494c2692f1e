import ClickHouseClient
import ClickHouseTestKit
import TestServers
import Testing

/// Streamed rows when the server or the way to it fails, and when the reader is slow.
@Suite struct QueryFaultTests {
  struct Read {
    var rows: [ClickHouseRow] = []
    var error: ClickHouseError?
  }

  /// Everything that a loop over the rows sees.
  private func read(
    _ step: ServerStep, requests: Int = 1, _ change: (inout ClickHouseConfiguration) -> Void = { _ in }
  ) async throws -> Read {
    let server = try ScriptedServer(ServerScript { _, _ in step })
    defer { server.stop() }
    let client = try Scripted.client(server, change)
    defer { client.close() }
    var seen = Read()
    do throws(ClickHouseError) {
      for try await row in client.query("SELECT id, text FROM events") { seen.rows.append(row) }
    } catch {
      seen.error = error
    }
    #expect(server.requests.count == requests)
    let request = try #require(server.requests.first)
    #expect(request.parameter("default_format") == "Native" && request.sql == "SELECT id, text FROM events")
    return seen
  }

  private func answer(_ pieces: [UInt8]...) -> ServerStep {
    .answer(ServerAnswer(200, body: pieces.flatMap { $0 }, framing: .chunked))
  }

  @Test func blocksBecomeRows() async throws {
    let seen = try await read(answer(Scripted.native(rows: 0), Scripted.native(rows: 3), Scripted.native(rows: 2)))
    #expect(seen.error == nil && seen.rows.map { $0["id"] } == [0, 1, 2, 0, 1].map { .uint($0) })
    #expect(seen.rows.first?.layout.names == ["id", "text"])
  }

  @Test func anEmptyAnswerHasNoRows() async throws {
    let seen = try await read(answer())
    #expect(seen.error == nil && seen.rows.isEmpty)
  }

  @Test func anAnswerInDripsIsRead() async throws {
    let body = try Scripted.native(rows: 20)
    let seen = try await read(
      ServerStep([.readBody, .sendSlowly(ServerAnswer(200, body: body, framing: .chunked), bytes: 7, every: .zero)]))
    #expect(seen.error == nil && seen.rows.count == 20)
  }

  @Test func aBlockOfManyPiecesIsRead() async throws {
    let seen = try await read(answer(try Scripted.native(rows: 5, textBytes: 1 << 20)))
    #expect(seen.error == nil && seen.rows.count == 5)
    #expect(seen.rows.last?["text"]?.string?.utf8.count == 1 << 20)
  }

  /// Its reader wants more at once than is kept for it.
  @Test(.timeLimit(.minutes(10))) func aBlockOfManyMegabytesIsRead() async throws {
    let seen = try await read(answer(try Scripted.native(rows: 24, textBytes: 1 << 20)))
    #expect(seen.error == nil && seen.rows.count == 24)
  }

  @Test func aTaggedExceptionComesAfterItsRows() async throws {
    let seen = try await read(.answer(.taggedException(395, after: Scripted.native(rows: 3))))
    #expect(seen.rows.count == 3 && seen.error?.serverCode == 395, "\(seen)")
  }

  @Test func aPlainExceptionComesAfterItsRows() async throws {
    let seen = try await read(.answer(.plainException(241, after: Scripted.native(rows: 3))))
    #expect(seen.rows.count == 3 && seen.error?.serverCode == 241, "\(seen)")
  }

  /// Rows may hold what servers say.
  @Test func anErrorsTextInARowIsData() async throws {
    var block = try Block(columns: [("text", .string)])
    try block.appendRow(["text": "Code: 241. DB::Exception: Memory limit exceeded"])
    let seen = try await read(answer(try EncodedBlock(block, compression: .none).bytes))
    #expect(seen.error == nil && seen.rows.count == 1)
  }

  @Test func anErrorWithAStatusIsThrown() async throws {
    let seen = try await read(.refuse(60, status: 404))
    #expect(seen.rows.isEmpty && seen.error?.serverCode == 60)
    let page = try await read(.answer(.page(502)))
    #expect(page.error?.code == .proxy)
  }

  @Test func anAnswerThatBreaksOffIsNoEnd() async throws {
    let whole = ServerAnswer(200, body: try Scripted.native(rows: 3) + Scripted.native(rows: 3), framing: .chunked)
    let seen = try await read(ServerStep([.readBody, .sendPart(whole, bytes: whole.body.count), .reset]))
    #expect(seen.error?.code == .transport, "\(seen)")
    let cut = ServerAnswer(200, body: Array(try Scripted.native(rows: 3).dropLast()), framing: .chunked)
    let half = try await read(.answer(cut))
    #expect(half.rows.isEmpty && half.error?.code == .malformedData, "\(half)")
  }

  @Test func whatIsNoNativeIsMalformed() async throws {
    let seen = try await read(answer(Array("1\tada\n2\tbob\n".utf8)))
    #expect(seen.rows.isEmpty && seen.error != nil)
  }

  @Test func aBlockBeyondTheLimitIsRefused() async throws {
    let seen = try await read(answer(try Scripted.native(rows: 4, textBytes: 1 << 20))) { $0.blockLimitBytes = 1 << 20 }
    #expect(
      seen.error?.code == .limitExceeded && seen.error?.message.contains("max_block_size") == true, "\(seen.rows.count)"
    )
  }

  @Test func aStalledAnswerEnds() async throws {
    let whole = ServerAnswer(200, body: try Scripted.native(rows: 3) + [1], framing: .chunked)
    let step = ServerStep([.readBody, .sendPart(whole, bytes: whole.body.count), .stall])
    let seen = try await read(step) { $0.stallTimeout = .seconds(1) }
    #expect(seen.error?.code == .transport && seen.error?.isRetriable == true, "\(seen)")
  }

  /// What is not read stays in the socket: the server cannot send more than the buffers on the way hold.
  @Test func aSlowReaderHoldsTheServerBack() async throws {
    let block = try Scripted.native(rows: 10, textBytes: 100_000)
    var body: [UInt8] = []
    for _ in 0..<24 { body += block }
    let answer = ServerAnswer(200, body: body)
    let server = try ScriptedServer(ServerScript { _, _ in .answer(answer) })
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    var (count, sentEarly) = (0, 0)
    for try await _ in client.query("SELECT") {
      count += 1
      guard count == 1 else { continue }
      // Until nothing more goes out; the kernel's buffers are a few megabytes.
      var last = -1
      while server.requests[0].answerBytes > last {
        last = server.requests[0].answerBytes
        try await Task.sleep(for: .milliseconds(200))
      }
      sentEarly = last
    }
    #expect(count == 240)
    #expect(sentEarly < body.count * 3 / 4, "\(sentEarly) of \(body.count) bytes were sent to a reader of one row")
  }

  @Test func aCancelledReaderEndsTheRequest() async throws {
    let whole = ServerAnswer(200, body: try Scripted.native(rows: 3), framing: .chunked)
    let server = try ScriptedServer(
      ServerScript { request, _ in
        request.index > 0 ? nil : ServerStep([.readBody, .sendPart(whole, bytes: whole.body.count), .stall])
      })
    defer { server.stop() }
    let client = try Scripted.client(server) { $0.requestsInFlight = 1 }
    defer { client.close() }
    let task = Task { () throws(ClickHouseError) -> Int in
      var count = 0
      for try await _ in client.query("SELECT") { count += 1 }
      return count
    }
    try await eventually("an answer") { server.requests.first?.answerBytes ?? 0 > 0 }
    task.cancel()
    let error = await #expect(throws: ClickHouseError.self) { try await task.value }
    #expect(error?.code == .cancelled)
    #expect(try await client.queryText("SELECT 1") == "1\n", "its place is free")
  }

  @Test func nothingIsAskedBeforeTheFirstRowIs() async throws {
    let server = try ScriptedServer()
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    let rows = client.query("SELECT {a:String}", parameters: ["a": "x\ty", "b": nil])
    #expect(server.requests.isEmpty)
    for try await _ in rows {}
    for try await _ in rows {}
    try #require(server.requests.count == 2, "each loop asks anew")
    #expect(server.requests[0].parameter("param_a") == "x\\ty" && server.requests[0].parameter("param_b") == "\\N")
    #expect(server.requests[0].parameter("query_id") != server.requests[1].parameter("query_id"))
  }
}
