import ClickHouseClient
import ClickHouseTestKit
import Foundation
import SinkTelemetry
import TestServers
import Testing

/// HTTPS with a real server, and everything that can be wrong with certificates: told with what to do, never passed over.
@Suite(.serialized, .enabled(if: ClickHouseServer.program != nil, RealServer.hint), .timeLimit(.minutes(10)))
struct TLSTests {
  let directory: URL
  let certificates: TestCertificates

  init() throws {
    directory = FileManager.default.temporaryDirectory.appending(path: "sinkctl-tls-\(UUID().uuidString)")
    certificates = try TestCertificates(in: directory)
  }

  private func withServer(
    _ tls: ClickHouseServer.TLS, _ body: (ClickHouseServer) async throws -> Void
  ) async throws {
    defer { try? FileManager.default.removeItem(at: directory) }
    let server = try await ClickHouseServer.start(tls)
    defer { server.stop() }
    try await body(server)
  }

  /// Asks the server something, trusting the tests' authority where `tls` says nothing else.
  /// (Plain values: a closure inside of `#expect` may be taken for another one by the compiler.)
  private func ping(
    _ url: String, ca: String? = nil, noCA: Bool = false, name: String? = nil, certificate: String? = nil,
    key: String? = nil, keyPassword: Secret? = nil, password: Secret = "secret", proxy: String? = nil
  ) async throws -> ClickHouseError? {
    let tls = ClickHouseConfiguration.TLS(
      caFile: noCA ? nil : ca ?? certificates.authority, certificateFile: certificate, keyFile: key,
      keyPassword: keyPassword, serverName: name)
    var configuration = ClickHouseConfiguration(url: url, user: "ada", password: password, tls: tls)
    configuration.connectTimeout = .patience
    configuration.requestTimeout = .patience
    configuration.proxy = proxy
    let client = try ClickHouseClient(configuration)
    defer { client.close() }
    do throws(ClickHouseError) {
      try await client.ping()
      return nil
    } catch {
      return error
    }
  }

  private func expect(
    _ error: ClickHouseError?, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(error?.code == .tls && error?.reaction == .pauseAndAlarm, "\(error as Any)", sourceLocation: sourceLocation)
    for word in words {
      #expect(error?.message.contains(word) == true, "\(word): \(error as Any)", sourceLocation: sourceLocation)
    }
  }

  @Test func aTrustedServerIsSpokenWith() async throws {
    let tls = ClickHouseServer.TLS(certificate: certificates.serverCertificate, key: certificates.serverKey)
    try await withServer(tls) { server in
      let url = "https://localhost:\(server.tlsPort)"
      #expect(try await ping(url) == nil)
      #expect(try await ping("https://127.0.0.1:\(server.tlsPort)") == nil)
      let refused = try await ping(url, password: "wrong")
      #expect(refused?.serverCode == 193 && refused?.reaction == .pauseAndAlarm, "\(refused as Any)")

      expect(try await ping(url, ca: certificates.strangerAuthority), "stranger.pem", "localhost")
      expect(try await ping(url, noCA: true), "clickhouse.tls.ca_file")
      expect(try await ping(url, ca: "/nowhere/ca.pem"), "/nowhere/ca.pem", "ca_file")
      expect(try await ping(url, ca: certificates.serverKey), "server.key", "ca_file")
      expect(
        try await ping(url, name: "clickhouse.internal"), "clickhouse.tls.server_name")
      expect(try await ping(url, certificate: "/nowhere/client.pem"), "/nowhere/client.pem")

      try await insertsArrive(url)
      try await proxiesAreUsed(url, server)
    }
  }

  private func insertsArrive(_ url: String) async throws {
    var configuration = ClickHouseConfiguration(url: url)
    configuration.tls.caFile = certificates.authority
    let client = try ClickHouseClient(configuration)
    defer { client.close() }
    _ = try await client.queryText("CREATE TABLE secure (id UInt64, text String) ENGINE = Memory")
    let block = try Scripted.block(rows: 5000, textBytes: 100)
    #expect(Told(await client.insert(block, into: TableName(table: "secure"))) == .accepted)
    #expect(
      try await client.queryText("SELECT count(), sum(id), sum(length(text)) FROM secure") == "5000\t12497500\t500000\n"
    )
  }

  /// HTTPS goes through a tunnel, HTTP by absolute URLs; what the proxy refuses is the proxy's refusal.
  private func proxiesAreUsed(_ url: String, _ server: ClickHouseServer) async throws {
    let proxy = try ScriptedServer()
    defer { proxy.stop() }
    #expect(try await ping(url, proxy: proxy.url) == nil)
    let tunnel = try #require(proxy.requests.first)
    #expect(tunnel.method == "CONNECT" && tunnel.target == "localhost:\(server.tlsPort)")
    #expect(tunnel.header("X-ClickHouse-Key") == nil, "the password is for ClickHouse alone")
    #expect(try await ping(server.url, proxy: proxy.url) == nil)
    #expect(proxy.requests.last?.target.hasPrefix(server.url) == true)

    let refusing = try ScriptedServer(ServerScript { _, _ in .answer(.page(403)) })
    defer { refusing.stop() }
    let error = try await ping(url, proxy: refusing.url)
    #expect(error?.code == .proxy && error?.reaction == .pauseAndAlarm, "\(error as Any)")
    #expect(error?.message.contains("403") == true && error?.message.contains("localhost") == true, "\(error as Any)")
  }

  @Test func aPrivateEndpointsNameIsOverruled() async throws {
    let tls = ClickHouseServer.TLS(certificate: certificates.otherNameCertificate, key: certificates.otherNameKey)
    try await withServer(tls) { server in
      let url = "https://127.0.0.1:\(server.tlsPort)"
      #expect(try await ping(url, name: "clickhouse.internal") == nil)
      expect(try await ping(url), "127.0.0.1", "clickhouse.tls.server_name")
      expect(try await ping(url, name: "clickhouse.other"), "clickhouse.tls.server_name")
      expect(
        try await ping(url, ca: certificates.strangerAuthority, name: "clickhouse.internal"), "stranger.pem")
      let proxy = try ScriptedServer()
      defer { proxy.stop() }
      #expect(
        try await ping(url, name: "clickhouse.internal", proxy: proxy.url) == nil)
      #expect(proxy.requests.first?.target == "127.0.0.1:\(server.tlsPort)")
    }
  }

  @Test func anExpiredCertificateIsRefused() async throws {
    let tls = ClickHouseServer.TLS(certificate: certificates.expiredCertificate, key: certificates.expiredKey)
    try await withServer(tls) { server in
      expect(try await ping("https://localhost:\(server.tlsPort)"), "expired", "renewed")
    }
  }

  @Test func clientCertificatesAreShown() async throws {
    let tls = ClickHouseServer.TLS(
      certificate: certificates.serverCertificate, key: certificates.serverKey, clientAuthority: certificates.authority)
    try await withServer(tls) { server in
      let url = "https://localhost:\(server.tlsPort)"
      #expect(
        try await ping(url, certificate: certificates.clientCertificate, key: certificates.clientKey) == nil)
      #expect(
        try await ping(
          url, certificate: certificates.clientCertificate, key: certificates.clientEncryptedKey,
          keyPassword: Secret(TestCertificates.keyPassword)) == nil)
      expect(
        try await ping(
          url, certificate: certificates.clientCertificate, key: certificates.clientEncryptedKey, keyPassword: "wrong"),
        "client.encrypted.key")
      expect(
        try await ping(url, certificate: certificates.clientCertificate, key: certificates.serverKey), "client.pem",
        "server.key")
      // The server's refusal and our request may cross: then only the connection's end is seen, and asked again.
      var error = try await ping(url)
      for _ in 0..<20 where error?.code == .transport { error = try await ping(url) }
      expect(error, "certificate_file")
    }
  }
}
