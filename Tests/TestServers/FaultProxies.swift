import Foundation
import Glibc

/// A proxy that reads Kafka's protocol and breaks single requests; give its port to `KafkaBroker.Options.proxies`.
public final class KafkaFaultProxy: Sendable {
  public enum Action: Sendable {
    /// The connection breaks instead.
    case close
    /// It reaches the broker so many seconds later.
    case hold(Double)
    /// Its answer comes so many seconds later.
    case holdAnswer(Double)
    /// No answer; a copy reaches the broker so many seconds later.
    case lateCopy(Double)
    /// Kafka's error for each partition; OffsetCommit only.
    case refuse(Int)
  }

  public let port: Int
  private let controlPort: Int
  private let server: ChildServer
  private let log: URL

  public init(port: Int, target: Int) async throws {
    guard let script = TestMachine.kafkaFaultProxy else { throw ServerProblem(message: "there is no fault proxy here") }
    self.port = port
    controlPort = try FreePorts.pick(1)[0]
    log = FileManager.default.temporaryDirectory.appending(path: "sinkctl-proxy-\(UUID().uuidString).log")
    server = try ChildServer(["/usr/bin/python3", script, "\(port)", "\(target)", "\(controlPort)", log.path])
    try await FreePorts.waitUntilOpen(controlPort)
  }

  deinit {
    server.stop()
    try? FileManager.default.removeItem(at: log)
  }

  /// What went through, a line for each request and answer of the group's protocol.
  public var lines: [Substring] { ((try? String(contentsOf: log, encoding: .utf8)) ?? "").split(separator: "\n") }

  /// For the next `count` requests of this kind (Kafka's API key).
  public func rule(_ request: Int, _ action: Action, count: Int = 1) throws {
    let (name, detail) =
      switch action {
      case .close: ("close", "")
      case .hold(let seconds): ("hold", " t=\(seconds)")
      case .holdAnswer(let seconds): ("holdresp", " t=\(seconds)")
      case .lateCopy(let seconds): ("lag", " t=\(seconds)")
      case .refuse(let code): ("err", " code=\(code)")
      }
    try say("rule A=\(request) act=\(name) n=\(count)\(detail)")
  }

  public func clearRules() throws { try say("clear") }
  /// Drops connections and refuses new ones, until `restore`.
  public func cut() throws { try say("cut") }
  public func restore() throws { try say("restore") }
  /// Passes nothing on, until `unstall`.
  public func stall() throws { try say("stall") }
  public func unstall() throws { try say("unstall") }

  private func say(_ line: String) throws {
    let answer = try Loopback.exchange(port: controlPort, line + "\n")
    guard answer.hasPrefix("ok") else { throw ServerProblem(message: "fault proxy, \(line): \(answer)") }
  }
}

/// Toxiproxy in front of one port: latency, bandwidth, cuts, for any protocol.
public final class SlowProxy: Sendable {
  private let controlPort: Int
  private let server: ChildServer

  public init(port: Int, target: Int) async throws {
    guard let program = TestMachine.toxiproxy else { throw ServerProblem(message: "there is no toxiproxy-server here") }
    controlPort = try FreePorts.pick(1)[0]
    server = try ChildServer([program, "-host", "127.0.0.1", "-port", "\(controlPort)"])
    try await FreePorts.waitUntilOpen(controlPort)
    try ask(
      "POST", "/proxies",
      #"{"name":"it","listen":"127.0.0.1:\#(port)","upstream":"127.0.0.1:\#(target)","enabled":true}"#)
  }

  deinit { server.stop() }

  /// Adds a fault to what the server answers, with its attributes as JSON: `latency {"latency":200}` in ms,
  /// `bandwidth {"rate":100}` in KB/s, `timeout {"timeout":0}`, `reset_peer {"timeout":0}`, `slicer …`.
  public func add(_ kind: String, _ attributes: String, upstream: Bool = false) throws {
    try ask(
      "POST", "/proxies/it/toxics",
      #"{"name":"\#(kind)","type":"\#(kind)","stream":"\#(upstream ? "upstream" : "downstream")","attributes":\#(attributes)}"#
    )
  }

  public func remove(_ kind: String) throws { try ask("DELETE", "/proxies/it/toxics/\(kind)", "") }

  /// Cut: connections break and new ones are refused.
  public func setEnabled(_ isEnabled: Bool) throws { try ask("POST", "/proxies/it", #"{"enabled":\#(isEnabled)}"#) }

  private func ask(_ method: String, _ path: String, _ body: String) throws {
    let answer = try Loopback.exchange(
      port: controlPort,
      "\(method) \(path) HTTP/1.0\r\nHost: localhost\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
    guard answer.split(separator: " ").dropFirst().first?.hasPrefix("2") == true else {
      throw ServerProblem(message: "toxiproxy, \(method) \(path) \(body): \(answer)")
    }
  }
}
