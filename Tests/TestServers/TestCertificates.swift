public import Foundation

/// A certificate authority of a test, a server's and a client's certificate from it, and an authority that nobody
/// knows.
public struct TestCertificates: Sendable {
  public let authority: String
  /// Signed nothing that is in use.
  public let strangerAuthority: String
  public let clientCertificate: String
  public let clientKey: String
  /// The same key, encrypted with `keyPassword`.
  public let clientEncryptedKey: String
  public let serverCertificate: String
  public let serverKey: String
  /// Key and certificates in one file, as Kafka wants a PEM key store.
  public let serverStore: String
  /// For `clickhouse.internal` alone, as a server's behind a private endpoint is.
  public let otherNameCertificate: String
  public let otherNameKey: String
  public let expiredCertificate: String
  public let expiredKey: String
  public static let keyPassword = "key-password"

  /// Makes them with the `openssl` program; the server's is for `localhost` and 127.0.0.1.
  public init(in directory: URL) throws {
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    func path(_ name: String) -> String { directory.appending(path: name).path }
    func openssl(_ arguments: String...) throws { try Self.run("/usr/bin/openssl", arguments) }
    func makeAuthority(_ name: String) throws {
      try openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=\(name)", "-keyout", path("\(name).key"), "-out", path("\(name).pem"))
    }
    func sign(_ name: String, names: String = "DNS:localhost,IP:127.0.0.1", days: Int = 2) throws {
      let extensions = path("\(name).extensions")
      try "subjectAltName=\(names)".write(toFile: extensions, atomically: true, encoding: .utf8)
      try openssl(
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/CN=\(name)", "-keyout", path("\(name).key"), "-out", path("\(name).request"))
      try openssl(
        "x509", "-req", "-in", path("\(name).request"), "-CA", path("authority.pem"), "-CAkey", path("authority.key"),
        "-CAcreateserial", "-days", "\(days)", "-extfile", extensions, "-out", path("\(name).pem"))
    }
    try makeAuthority("authority")
    try makeAuthority("stranger")
    try sign("server")
    try sign("client")
    try sign("other", names: "DNS:clickhouse.internal")
    try sign("expired", days: -1)
    try openssl(
      "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", path("client.key"), "-out", path("client.encrypted.key"),
      "-passout", "pass:\(Self.keyPassword)")
    let parts = try ["server.key", "server.pem", "authority.pem"].map {
      try String(contentsOfFile: path($0), encoding: .utf8)
    }
    try parts.joined().write(toFile: path("server.store.pem"), atomically: true, encoding: .utf8)
    authority = path("authority.pem")
    strangerAuthority = path("stranger.pem")
    clientCertificate = path("client.pem")
    clientKey = path("client.key")
    clientEncryptedKey = path("client.encrypted.key")
    serverCertificate = path("server.pem")
    serverKey = path("server.key")
    serverStore = path("server.store.pem")
    otherNameCertificate = path("other.pem")
    otherNameKey = path("other.key")
    expiredCertificate = path("expired.pem")
    expiredKey = path("expired.key")
  }

  private static func run(_ program: String, _ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let said = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw ServerProblem(message: "openssl \(arguments[0]): \(String(decoding: said, as: UTF8.self))")
    }
  }
}
