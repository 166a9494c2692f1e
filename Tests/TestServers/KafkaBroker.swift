public import Foundation

/// A real Kafka of one node, on loopback, in a directory of its own. It can be stopped, killed, and started again on the
/// same ports with its data; it ends, and the directory goes, with the last reference.
public final class KafkaBroker: @unchecked Sendable {
  // Sendable: `server` changes under the lock only.

  public struct Options: Sendable {
    /// Added to, or in place of, the start script's properties.
    public var properties: [String: String] = [:]
    /// Name to password, for PLAIN and SCRAM; with them there is the listener `sasl`, with certificates all of them.
    public var users: [String: String] = [:]
    public var certificates: TestCertificates?
    /// Ports of proxies: for each there is a listener whose clients are sent to that port.
    public var proxies: [Int] = []

    public init() {}
  }

  /// What listens beside the plain one.
  public enum Listener: String, Sendable, CaseIterable {
    case tls = "TLS"
    case mutualTLS = "MTLS"
    case sasl = "SASL"
    case saslTLS = "SASLTLS"
  }

  public let version: String
  public let directory: URL
  /// `127.0.0.1:port`, without encryption or credentials.
  public let bootstrap: String
  private let ports: [Listener: Int]
  /// Where each of `Options.proxies` must send what it takes.
  public let proxyTargets: [Int]
  private let arguments: [String]
  private let lock = NSLock()
  private var server: ChildServer?

  public func address(_ listener: Listener) -> String {
    guard let port = ports[listener] else { preconditionFailure("no listener \(listener) was asked for") }
    return "localhost:\(port)"
  }

  /// - Parameter version: 3.9.2 or 4.4.0.
  public static func start(version: String, _ options: Options = Options()) async throws -> KafkaBroker {
    let broker = try KafkaBroker(version, options)
    try await broker.start()
    return broker
  }

  private init(_ version: String, _ options: Options) throws {
    guard let script = TestMachine.kafkaScript else { throw ServerProblem(message: "there is no Kafka here") }
    self.version = version
    directory = FileManager.default.temporaryDirectory.appending(path: "sinkctl-kafka-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let isSecured = options.certificates != nil || !options.users.isEmpty
    let wanted = isSecured ? Listener.allCases.filter { $0 == .sasl || options.certificates != nil } : []
    let free = try FreePorts.pick(2 + wanted.count + options.proxies.count)
    bootstrap = "127.0.0.1:\(free[0])"
    ports = Dictionary(uniqueKeysWithValues: zip(wanted, free[2...]))
    proxyTargets = Array(free[(2 + wanted.count)...])
    // The script keeps the controller's port here.
    try "\(free[1])".write(to: directory.appending(path: "controller"), atomically: true, encoding: .utf8)
    var properties = Self.listeners(plain: free[0], controller: free[1], ports, zip(proxyTargets, options.proxies))
    if isSecured { properties.merge(Self.security(options)) { $1 } }
    properties.merge(options.properties) { $1 }
    arguments =
      [script, "start", directory.path, "-v", version, "-p", "\(free[0])", "-c", Self.makeClusterID()]
      + options.users.sorted { $0.key < $1.key }.flatMap { ["--scram", "\($0.key):\($0.value)"] }
      + properties.sorted { $0.key < $1.key }.flatMap { ["-o", "\($0.key)=\($0.value)"] }
  }

  deinit {
    server?.kill()
    try? FileManager.default.removeItem(at: directory)
  }

  /// After `stop` or `kill`, with the data that is there. Returns once it accepts connections.
  public func start() async throws {
    let server = try ChildServer(arguments)
    lock.withLock { self.server = server }
    let port = Int(bootstrap.split(separator: ":")[1]) ?? 0
    let deadline = ContinuousClock.now + .patience
    while !FreePorts.isOpen(port) {
      guard server.isRunning, ContinuousClock.now < deadline else {
        let log = try? String(contentsOf: directory.appending(path: "server.log"), encoding: .utf8)
        throw ServerProblem(message: "Kafka \(version) did not start: \(server.output)\(log?.suffix(4000) ?? "")")
      }
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  /// An orderly end.
  public func stop() async throws { try await end { $0.stop() } }

  /// A crash (SIGKILL).
  public func kill() async throws { try await end { $0.kill() } }

  /// Nothing is answered any more, and connections stay (SIGSTOP), until `resume`.
  public func freeze() { lock.withLock { server }?.send(SIGSTOP) }

  public func resume() { lock.withLock { server }?.send(SIGCONT) }

  /// Runs one of Kafka's command-line classes.
  /// - Returns: what it said.
  @discardableResult
  public static func tool(_ arguments: [String], within timeout: Duration = .patience) async throws -> String {
    guard let script = TestMachine.kafkaScript else { throw ServerProblem(message: "there is no Kafka here") }
    let tool = try ChildServer([script, "tool"] + arguments)
    try await tool.waitUntilEnd(within: timeout)
    guard tool.hasSucceeded else { throw ServerProblem(message: "\(arguments): \(tool.output)") }
    return tool.output
  }

  private func end(_ how: (ChildServer) -> Void) async throws {
    guard let server = lock.withLock({ self.server }) else { return }
    how(server)
    try await server.waitUntilEnd(within: .patience)
    lock.withLock { self.server = nil }
  }

  /// As Kafka makes them, and like there none that begins with a minus, which its tools take for an option.
  private static func makeClusterID() -> String {
    let bytes = Data((0..<16).map { _ in UInt8.random(in: 0...255) })
    let text = bytes.base64EncodedString().prefix(22).map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }
    return "K" + String(text.dropFirst())
  }

  private static func listeners(
    plain: Int, controller: Int, _ ports: [Listener: Int], _ proxies: some Sequence<(Int, Int)>
  ) -> [String: String] {
    var listeners = ["PLAINTEXT://127.0.0.1:\(plain)"]
    var advertised = listeners
    var protocols = ["PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"]
    for (listener, port) in ports.sorted(by: { $0.value < $1.value }) {
      listeners.append("\(listener.rawValue)://127.0.0.1:\(port)")
      advertised.append("\(listener.rawValue)://localhost:\(port)")
      switch listener {
      case .tls, .mutualTLS: protocols.append("\(listener.rawValue):SSL")
      case .sasl: protocols.append("\(listener.rawValue):SASL_PLAINTEXT")
      case .saslTLS: protocols.append("\(listener.rawValue):SASL_SSL")
      }
    }
    for (index, (target, proxy)) in proxies.enumerated() {
      listeners.append("VIA\(index)://127.0.0.1:\(target)")
      advertised.append("VIA\(index)://127.0.0.1:\(proxy)")
      protocols.append("VIA\(index):PLAINTEXT")
    }
    return [
      "listeners": (listeners + ["CONTROLLER://127.0.0.1:\(controller)"]).joined(separator: ","),
      "advertised.listeners": advertised.joined(separator: ","),
      "listener.security.protocol.map": protocols.joined(separator: ","),
      "inter.broker.listener.name": "PLAINTEXT",
    ]
  }

  private static func security(_ options: Options) -> [String: String] {
    var properties = ["sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"]
    if let certificates = options.certificates {
      properties["ssl.keystore.type"] = "PEM"
      properties["ssl.keystore.location"] = certificates.serverStore
      properties["ssl.truststore.type"] = "PEM"
      properties["ssl.truststore.location"] = certificates.authority
      properties["listener.name.mtls.ssl.client.auth"] = "required"
    }
    let users = options.users.sorted { $0.key < $1.key }.map { #" user_\#($0.key)="\#($0.value)""# }.joined()
    let modules = "org.apache.kafka.common.security"
    for listener in ["sasl", "sasltls"] {
      let prefix = "listener.name.\(listener)"
      properties["\(prefix).plain.sasl.jaas.config"] = "\(modules).plain.PlainLoginModule required\(users);"
      for mechanism in ["scram-sha-256", "scram-sha-512"] {
        properties["\(prefix).\(mechanism).sasl.jaas.config"] = "\(modules).scram.ScramLoginModule required;"
      }
    }
    return properties
  }
}
