import Foundation
import Glibc
import TestServers

/// `sinkctl run` in a process of its own.
final class SinkctlRun: @unchecked Sendable {
  // Sendable: Process is asked from one task at a time, and Foundation locks inside.
  static let path = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    .appending(path: "sinkctl").path

  private let process = Process()
  private let directory: URL

  /// - Parameter configuration: the YAML file's text.
  init(_ configuration: String) throws {
    directory = FileManager.default.temporaryDirectory.appending(path: "sinkctl-run-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let file = directory.appending(path: "sinkctl.yaml")
    try configuration.write(to: file, atomically: true, encoding: .utf8)
    let log = directory.appending(path: "log")
    _ = FileManager.default.createFile(atPath: log.path, contents: nil)
    let output = try FileHandle(forWritingTo: log)
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    try process.run([Self.path, "run", "--config", file.path], bound: ["--foreground", "240"])
  }

  deinit {
    send(SIGKILL)
    try? FileManager.default.removeItem(at: directory)
  }

  var log: String { (try? String(contentsOf: directory.appending(path: "log"), encoding: .utf8)) ?? "" }

  private var child: Int32? {
    let id = process.processIdentifier
    let children = try? String(contentsOfFile: "/proc/\(id)/task/\(id)/children", encoding: .utf8)
    return children?.split(separator: " ").first.flatMap { Int32($0) }
  }

  /// The most that it has had in memory; nil once it has ended.
  var peakResidentKilobytes: Int? {
    guard let child, let status = try? String(contentsOfFile: "/proc/\(child)/status", encoding: .utf8) else {
      return nil
    }
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
  }

  func send(_ signal: Int32) { if process.isRunning, let child { Glibc.kill(child, signal) } }

  /// - Returns: the exit code; 128 + the number of a signal.
  func end(within timeout: Duration = .patience) async throws -> Int32 {
    let deadline = ContinuousClock.now + timeout
    while process.isRunning {
      guard ContinuousClock.now < deadline else { throw HarnessProblem("it does not end: \(log.suffix(3000))") }
      try await Task.sleep(for: .milliseconds(20))
    }
    return process.terminationStatus + (process.terminationReason == .uncaughtSignal ? 128 : 0)
  }

  static func configuration(
    _ name: String, brokers: [String], url: String, limits: String, deadLetters: String = "skip"
  ) -> String {
    """
    kafka:
      brokers: [\(brokers.joined(separator: ", "))]
      group: \(name)
      instance_id: \(name)-1
      session_timeout: 6s
      properties: {queued.max.messages.kbytes: 10240}
    clickhouse: {url: "\(url)", compression: none}
    routes:
      - topic: \(name)
        table: \(name)
        dead_letters: \(deadLetters)
        block: {max_rows: 500, linger: 100ms}
    limits: {\(limits), commit_interval: 200ms}
    admin: {listen: off}
    """
  }
}
