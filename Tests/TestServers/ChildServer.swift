import Foundation
import Glibc

/// A server process that ends with the tests, and after 15 minutes at the latest.
public final class ChildServer: @unchecked Sendable {
  // Sendable: Process is asked from one task at a time, and Foundation locks inside.
  private let process = Process()
  private let log: URL

  /// - Parameter arguments: the program's path first.
  public init(_ arguments: [String]) throws {
    log = FileManager.default.temporaryDirectory.appending(path: "sinkctl-test-\(UUID().uuidString).log")
    _ = FileManager.default.createFile(atPath: log.path, contents: nil)
    let output = try FileHandle(forWritingTo: log)
    process.standardOutput = output
    process.standardError = output
    try process.run(arguments, bound: ["900"])
  }

  deinit { stop() }

  public var isRunning: Bool { process.isRunning }

  /// Whether it has ended, with 0.
  public var hasSucceeded: Bool { !process.isRunning && process.terminationStatus == 0 }

  public var output: String { (try? String(contentsOf: log, encoding: .utf8)) ?? "" }

  /// Waits for a line with this beginning; returns what follows it.
  public func waitForLine(_ prefix: String, within timeout: Duration = .patience) async throws -> String {
    let deadline = ContinuousClock.now + timeout
    while ContinuousClock.now < deadline {
      // Asked before the output is read: a program may say its line and end in between.
      let isOver = !process.isRunning
      if let line = output.split(separator: "\n").first(where: { $0.hasPrefix(prefix) }) {
        return String(line.dropFirst(prefix.count))
      }
      if isOver { break }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw ServerProblem(message: "no line '\(prefix)…' in: \(output)")
  }

  /// SIGTERM, which timeout passes on.
  public func stop() {
    if process.isRunning { process.terminate() }
    try? FileManager.default.removeItem(at: log)
  }

  /// SIGKILL to the program itself: timeout, which would leave it alone, ends after it.
  public func kill() { send(SIGKILL) }

  /// To the program itself.
  public func send(_ signal: Int32) {
    guard process.isRunning else { return }
    let id = process.processIdentifier
    let children = (try? String(contentsOfFile: "/proc/\(id)/task/\(id)/children", encoding: .utf8)) ?? ""
    for child in children.split(separator: " ").compactMap({ Int32($0) }) { Glibc.kill(child, signal) }
  }

  public func waitUntilEnd(within timeout: Duration) async throws {
    let deadline = ContinuousClock.now + timeout
    while process.isRunning {
      guard ContinuousClock.now < deadline else { throw ServerProblem(message: "it does not end: \(output)") }
      try await Task.sleep(for: .milliseconds(10))
    }
  }
}

public struct ServerProblem: Error {
  public let message: String

  public init(message: String) { self.message = message }
}
