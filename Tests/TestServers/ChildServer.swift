import Foundation
import Glibc

/// A server process that ends with the tests, also when these crash.
public final class ChildServer: @unchecked Sendable {
  // Sendable: Process is asked from one task at a time, and Foundation locks inside.
  private let process = Process()
  private let log: URL

  /// - Parameter arguments: the program's path first.
  public init(_ arguments: [String]) throws {
    log = FileManager.default.temporaryDirectory.appending(path: "sinkctl-test-\(UUID().uuidString).log")
    _ = FileManager.default.createFile(atPath: log.path, contents: nil)
    process.executableURL = URL(filePath: "/usr/bin/setpriv")
    process.arguments = ["--pdeathsig", "KILL"] + arguments
    let output = try FileHandle(forWritingTo: log)
    process.standardOutput = output
    process.standardError = output
    try process.run()
  }

  deinit { stop() }

  public var output: String { (try? String(contentsOf: log, encoding: .utf8)) ?? "" }

  /// Waits for a line with this beginning; returns what follows it.
  public func waitForLine(_ prefix: String, within timeout: Duration = .seconds(120)) async throws -> String {
    let deadline = ContinuousClock.now + timeout
    while ContinuousClock.now < deadline, process.isRunning {
      if let line = output.split(separator: "\n").first(where: { $0.hasPrefix(prefix) }) {
        return String(line.dropFirst(prefix.count))
      }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw ServerProblem(message: "no line '\(prefix)…' in: \(output)")
  }

  public func terminate() { if process.isRunning { process.terminate() } }
  public func kill() { if process.isRunning { Glibc.kill(process.processIdentifier, SIGKILL) } }

  public func stop() {
    kill()
    try? FileManager.default.removeItem(at: log)
  }
}

public struct ServerProblem: Error {
  public let message: String

  public init(message: String) { self.message = message }
}
