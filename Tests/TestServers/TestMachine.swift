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

  /// Its proxy that breaks single requests, if it is here.
  public static let kafkaFaultProxy = tool("SINK_KAFKA_FAULT_PROXY", "kafka-fault-proxy.py")

  public static let toxiproxy = tool("SINK_TOXIPROXY", "toxiproxy-server")

  private static func tool(_ variable: String, _ name: String) -> String? {
    let path =
      ProcessInfo.processInfo.environment[variable]
      ?? root.appending(path: "../shared/tools/\(name)").standardized.path
    return FileManager.default.isReadableFile(atPath: path) ? path : nil
  }

  /// The Python with PyPI's packages, else the system's.
  public static let python: String? = {
    let candidates = [root.appending(path: ".build/venv/bin/python").path, "/usr/bin/python3"]
    return candidates.first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  /// Whether the 26.x engine has been installed; scripts/test does that.
  public static let hasFront = hasPackage("chdb")

  /// Whether PyPI's confluent-kafka has, which scripts/prove-exactly-once produces with.
  public static let hasConfluentKafka = hasPackage("confluent_kafka")

  private static func hasPackage(_ name: String) -> Bool {
    let library = root.appending(path: ".build/venv/lib")
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: library.path)) ?? []
    return versions.contains {
      FileManager.default.fileExists(atPath: library.appending(path: "\($0)/site-packages/\(name)").path)
    }
  }

  /// Starts scripts/clickhouse-front; returns its URL.
  public static func startFront(_ arguments: [String] = []) async throws -> (server: ChildServer, url: String) {
    let server = try ChildServer([root.appending(path: "scripts/clickhouse-front").path] + arguments)
    return (server, try await server.waitForLine("ready on "))
  }
}
