public import Foundation

/// What this machine has for tests with real servers.
public enum TestMachine {
  public static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").standardized

  /// The start script of a real Kafka, if there is one.
  public static let kafkaScript: String? = {
    let environment = ProcessInfo.processInfo.environment["SINK_KAFKA_BROKER_SCRIPT"]
    let path = environment ?? root.appending(path: "../shared/kafka/broker").standardized.path
    let isThere = FileManager.default.isExecutableFile(atPath: path)
    return isThere && FileManager.default.isExecutableFile(atPath: "/usr/bin/java") ? path : nil
  }()

  /// Whether the 26.x engine has been installed; scripts/test does that.
  public static let hasFront: Bool = {
    let library = root.appending(path: ".build/venv/lib")
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: library.path)) ?? []
    return versions.contains {
      FileManager.default.fileExists(atPath: library.appending(path: "\($0)/site-packages/chdb").path)
    }
  }()

  /// Starts scripts/clickhouse-front; returns its URL.
  public static func startFront() async throws -> (server: ChildServer, url: String) {
    let server = try ChildServer([root.appending(path: "scripts/clickhouse-front").path])
    return (server, try await server.waitForLine("ready on "))
  }

  /// Starts a real Kafka in a directory of its own; returns its address.
  public static func startKafka(version: String) async throws -> (server: ChildServer, broker: String, directory: URL) {
    guard let script = kafkaScript else { throw ServerProblem(message: "there is no Kafka here") }
    let directory = FileManager.default.temporaryDirectory.appending(path: "sinkctl-kafka-\(UUID().uuidString)")
    let server = try ChildServer([script, "start", directory.path, "-v", version])
    let waiter = try ChildServer(["/bin/sh", "-c", "echo broker $('\(script)' wait '\(directory.path)' 90)"])
    let broker = try await waiter.waitForLine("broker ")
    return (server, broker, directory)
  }
}
