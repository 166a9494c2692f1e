import ClickHouseClient
import ClickHouseTestKit
import Testing

/// What becomes of an insert when the server or the way to it fails: told apart exactly, and never sent twice.
@Suite struct OutcomeTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let step: ServerStep
    let told: Told
    /// Sent without Content-Length of the answer and the like: the connection is not used again.
    var rows = 3
    var testDescription: String { name }
  }

  static let cases: [Case] = [
    Case(name: "accepted", step: .accept, told: .accepted),
    Case(name: "accepted, chunked", step: .answer(ServerAnswer(200, framing: .chunked)), told: .accepted),
    Case(name: "accepted, until close", step: .answer(ServerAnswer(200, framing: .untilClose)), told: .accepted),
    Case(
      name: "accepted, read slowly",
      step: ServerStep([.readBodySlowly(bytes: 64, every: .milliseconds(1)), .send(.ok)]),
      told: .accepted, rows: 40),
    Case(
      name: "accepted, answered in drips",
      step: ServerStep([.readBody, .sendSlowly(.ok, bytes: 3, every: .milliseconds(1))]), told: .accepted),
    Case(name: "100 that nobody asked for", step: ServerStep([.sendContinue, .readBody, .send(.ok)]), told: .accepted),
    Case(name: "reset before the body", step: .resetBeforeBody, told: .unknown(nil), rows: 50_000),
    Case(name: "reset in the body", step: .resetInBody(afterBytes: 1000), told: .unknown(nil), rows: 50_000),
    Case(name: "reset after the body", step: .resetAfterBody, told: .unknown(nil)),
    Case(name: "closed after the body", step: .closeAfterBody, told: .unknown(nil)),
    Case(name: "reset in the answer's head", step: .resetInAnswer(afterBytes: 20), told: .unknown(nil)),
    Case(
      name: "reset in the answer's body",
      step: ServerStep([.readBody, .sendPart(ServerAnswer(200, text: "0123456789"), bytes: 50), .close]),
      told: .unknown(nil)),
    Case(
      name: "closed in a chunked answer",
      step: ServerStep([
        .readBody, .sendPart(ServerAnswer(200, text: "0123456789", framing: .chunked), bytes: 60), .close,
      ]), told: .unknown(nil)),
    Case(name: "500 with a code", step: .refuse(241), told: .unknown(241)),
    Case(name: "252", step: .refuse(252), told: .unknown(252)),
    Case(name: "202", step: .refuse(202), told: .rejected(202)),
    Case(name: "404 and 60", step: .refuse(60, status: 404), told: .rejected(60)),
    Case(name: "a code that nobody has thought about", step: .refuse(9999), told: .unknown(9999)),
    Case(name: "200 with the code's header", step: .answer(.exceptionHeaderOn200(60)), told: .rejected(60)),
    Case(name: "200 with a tagged exception", step: .answer(.taggedException(469)), told: .rejected(469)),
    Case(name: "200 with plain text", step: .answer(.plainException(16)), told: .rejected(16)),
    Case(name: "a proxy's 502", step: .answer(.page(502)), told: .unknown(nil)),
    Case(name: "a proxy's 504", step: .answer(.page(504)), told: .unknown(nil)),
    Case(name: "a page on a 200", step: .answer(.page(200)), told: .unknown(nil)),
    Case(
      name: "a redirect",
      step: .answer(ServerAnswer(302, headers: [("Location", "http://127.0.0.1:1/")])), told: .unknown(nil)),
    Case(
      name: "an error, then the connection ends",
      // Its last chunk is missing.
      step: ServerStep([.readBody, .sendPart(.plainException(16), bytes: 138), .close]), told: .rejected(16)),
  ]

  @Test(arguments: cases) func isTold(_ scripted: Case) async throws {
    let server = try ScriptedServer(ServerScript([scripted.step], afterwards: .accept))
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    let outcome = try await Scripted.insert(client, rows: scripted.rows)
    #expect(Told(outcome) == scripted.told, "\(outcome)")
    #expect(server.inserts.count == 1, "an insert was sent again behind our back")
    // What follows is not hurt by what went before.
    #expect(Told(try await Scripted.insert(client)) == .accepted)
    try #require(server.inserts.count == 2)
    #expect(try server.inserts[1].rows().count == 3)
  }
}
