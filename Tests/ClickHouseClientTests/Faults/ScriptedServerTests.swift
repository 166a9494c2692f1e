import ClickHouseClient
import ClickHouseTestKit
import Testing

/// The kit itself, as embedders use it.
@Suite struct ScriptedServerTests {
  /// One scripted server stands before another: a fault comes before or after what is behind it has acted.
  @Test func aFaultComesBeforeOrAfterTheRealInsert() async throws {
    let real = try ScriptedServer(tables: Scripted.tables)
    defer { real.stop() }
    let server = try ScriptedServer(
      ServerScript([.resetInBody(afterBytes: 10), .forwardThenReset], afterwards: .forward), forwardingTo: real.url)
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    #expect(try await client.describe(TableName("events")).columns.count == 2, "questions are forwarded")
    #expect(Told(try await Scripted.insert(client)) == .unknown(nil))
    #expect(real.inserts.isEmpty, "the fault came before")
    #expect(Told(try await Scripted.insert(client)) == .unknown(nil))
    #expect(real.inserts.count == 1, "the fault came after")
    for _ in 0..<3 { #expect(Told(try await Scripted.insert(client)) == .accepted) }
    try #require(real.inserts.count == 4)
    #expect(try real.inserts[3].rows().count == 3)
    #expect(Set(server.inserts.suffix(3).map(\.connection)).count == 1, "a forwarded answer keeps the connection")
  }

  @Test func bodiesOfEveryCompressionAreRead() async throws {
    let server = try ScriptedServer()
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    for compression in [BlockCompression.none, .lz4, .zstd(level: 1), .gzip(level: 1), .zstdStream(level: 1)] {
      #expect(Told(try await Scripted.insert(client, rows: 5, compression: compression)) == .accepted)
      #expect(try server.inserts.last?.rows().count == 5, "\(compression)")
    }
  }

  @Test func stoppingWakesEverythingThatWaits() async throws {
    let server = try ScriptedServer(ServerScript(afterwards: .stallAfterBody))
    let client = try Scripted.client(server)
    defer { client.close() }
    async let outcome = Scripted.insert(client)
    #expect(await server.waitForInserts(1))
    let start = ContinuousClock.now
    server.stop()
    #expect(ContinuousClock.now - start < .seconds(60))
    #expect(Told(try await outcome) == .unknown(nil))
    #expect(server.openConnectionCount == 0)
    server.stop()
  }

  @Test func anInsertIsHeldUntilTheGateOpens() async throws {
    let gate = ServerGate()
    let server = try ScriptedServer(ServerScript([.hold(gate, then: .exception(252))]))
    defer { server.stop() }
    let client = try Scripted.client(server)
    defer { client.close() }
    async let outcome = Scripted.insert(client)
    #expect(await server.waitForInserts(1))
    gate.open()
    #expect(Told(try await outcome) == .unknown(252))
    #expect(await !server.waitForInserts(2, within: .milliseconds(20)))
  }

  @Test func whatIsNoHTTPIsRefused() throws {
    #expect(throws: ScriptedServerError.self) { _ = try ScriptedServer(forwardingTo: "https://somewhere:1") }
    #expect(throws: ScriptedServerError.self) { _ = try ScriptedServer(forwardingTo: "http://nowhere") }
  }
}
