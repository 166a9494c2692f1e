import Foundation

/// Three real Kafka nodes on loopback, each broker and controller; topics are kept three times. They end, and their
/// directories go, with the last reference.
public final class KafkaCluster: @unchecked Sendable {
  // Sendable: `servers` changes under the lock only.

  private let directory: URL
  /// By node id, from 1.
  private let ports: [Int: Int]
  private let arguments: [Int: [String]]
  private let lock = NSLock()
  private var servers: [Int: ChildServer] = [:]

  /// `127.0.0.1:port` of each node.
  public var bootstrap: [String] { ports.sorted { $0.key < $1.key }.map { "127.0.0.1:\($0.value)" } }

  /// - Parameter version: 3.9.2 or 4.4.0.
  public static func start(version: String) async throws -> KafkaCluster {
    let cluster = try KafkaCluster(version)
    try await withThrowingTaskGroup { group in
      for node in cluster.ports.keys { group.addTask { try await cluster.start(node) } }
      try await group.waitForAll()
    }
    return cluster
  }

  private init(_ version: String) throws {
    guard let script = TestMachine.kafkaScript else { throw ServerProblem(message: "there is no Kafka here") }
    directory = FileManager.default.temporaryDirectory.appending(path: "sinkctl-cluster-\(UUID().uuidString)")
    let free = try FreePorts.pick(6)
    let nodes = [1, 2, 3]
    ports = Dictionary(uniqueKeysWithValues: zip(nodes, free))
    let voters = nodes.map { "\($0)@127.0.0.1:\(free[2 + $0])" }.joined(separator: ",")
    let shared = [
      "controller.quorum.voters": voters, "default.replication.factor": "3", "min.insync.replicas": "2",
      "offsets.topic.replication.factor": "3",
      // A dead node is known soon, one that a busy machine holds up is none; a node that is back gets its partitions back
      // soon.
      "broker.session.timeout.ms": "6000", "broker.heartbeat.interval.ms": "500",
      "controller.quorum.fetch.timeout.ms": "6000", "controller.quorum.election.timeout.ms": "3000",
      "leader.imbalance.check.interval.seconds": "1", "leader.imbalance.per.broker.percentage": "0",
    ]
    var arguments: [Int: [String]] = [:]
    for (node, port) in ports {
      let home = directory.appending(path: "\(node)")
      try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
      var properties = shared
      properties["node.id"] = "\(node)"
      properties["listeners"] = "PLAINTEXT://127.0.0.1:\(port),CONTROLLER://127.0.0.1:\(free[2 + node])"
      properties["advertised.listeners"] = "PLAINTEXT://127.0.0.1:\(port)"
      arguments[node] =
        [script, "start", home.path, "-v", version, "-p", "\(port)", "-c", "KtestsOfThreeNodes0000"]
        + properties.sorted { $0.key < $1.key }.flatMap { ["-o", "\($0.key)=\($0.value)"] }
    }
    self.arguments = arguments
  }

  deinit {
    for server in servers.values { server.kill() }
    try? FileManager.default.removeItem(at: directory)
  }

  /// With the data that is there. Returns once the node accepts connections.
  public func start(_ node: Int) async throws {
    guard let arguments = arguments[node], let port = ports[node] else { preconditionFailure("no node \(node)") }
    let server = try ChildServer(arguments)
    lock.withLock { servers[node] = server }
    let deadline = ContinuousClock.now + .patience
    while !FreePorts.isOpen(port) {
      guard server.isRunning, ContinuousClock.now < deadline else {
        let log = try? String(contentsOf: directory.appending(path: "\(node)/server.log"), encoding: .utf8)
        throw ServerProblem(message: "node \(node) did not start: \(server.output)\(log?.suffix(4000) ?? "")")
      }
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  /// A crash (SIGKILL).
  public func kill(_ node: Int) async throws {
    guard let server = lock.withLock({ servers.removeValue(forKey: node) }) else { return }
    server.kill()
    try await server.waitUntilEnd(within: .patience)
  }
}
