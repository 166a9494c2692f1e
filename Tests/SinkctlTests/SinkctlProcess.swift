import Foundation
import Glibc
import Synchronization
import TestServers

/// The built program in a process of its own, its output in files: nobody has to read it for the program to go on.
final class SinkctlProcess: @unchecked Sendable {
  // Sendable: Process is asked from one task at a time, and Foundation locks inside.
  struct Result {
    /// 128 + the number where a signal ended it.
    let code: Int32
    let out: String
    let error: String
  }

  /// Where SwiftPM puts it, beside the tests' own program.
  static let path = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    .appending(path: "sinkctl").path

  private let process = Process()
  private let directory: TemporaryDirectory
  private let input = Pipe()

  /// - Parameters:
  ///   - onTerminal: with script(1)'s terminal as its input and output; all of it is in `out` then.
  ///   - input: standard input; nil leaves it open, for `write`.
  ///   - unread: a pipe that nobody reads is its standard error.
  init(
    _ arguments: [String], environment: [String: String] = [:], input text: String? = "", onTerminal: Bool = false,
    unread: Pipe? = nil
  ) throws {
    directory = try TemporaryDirectory()
    var program = [Self.path] + arguments
    if onTerminal {
      let words = (["exec"] + program.map { "'\($0)'" }).joined(separator: " ")
      program = ["script", "-qfec", words, "/dev/null"]
    }
    process.environment = ProcessInfo.processInfo.environment.merging(["TERM": "xterm"]) { $1 }.merging(environment) {
      $1
    }
    process.standardInput = input
    process.standardOutput = try directory.handle("out")
    process.standardError = try unread.map { $0 as Any } ?? directory.handle("error")
    // With --foreground signals reach the program alone, and a terminal stays its own.
    try process.run(program, bound: ["--foreground", "300"])
    if let text {
      input.fileHandleForWriting.write(Data(text.utf8))
      try input.fileHandleForWriting.close()
    }
  }

  deinit { if process.isRunning { send(SIGKILL) } }

  var out: String { directory.text("out") }
  var error: String { directory.text("error") }
  var isRunning: Bool { process.isRunning }

  func write(_ text: String) { input.fileHandleForWriting.write(Data(text.utf8)) }

  /// To the program itself, not to what bounds it.
  func send(_ signal: Int32) {
    let id = process.processIdentifier
    let children = (try? String(contentsOfFile: "/proc/\(id)/task/\(id)/children", encoding: .utf8)) ?? ""
    for child in children.split(separator: " ").compactMap({ Int32($0) }) { kill(child, signal) }
  }

  func end(within timeout: Duration = .patience) async throws -> Result {
    try await wait("its end", within: timeout) { !self.process.isRunning }
    let isSignal = process.terminationReason == .uncaughtSignal
    return Result(code: process.terminationStatus + (isSignal ? 128 : 0), out: out, error: error)
  }

  /// Waits until something holds; says what the program has said where it does not.
  func wait(_ what: String, within timeout: Duration = .patience, until holds: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + timeout
    while try await !holds() {
      guard ContinuousClock.now < deadline else {
        send(SIGKILL)
        throw WaitedInVain(message: "waited \(timeout) for \(what); it says: \(out)\(error)")
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  static func run(
    _ arguments: [String], environment: [String: String] = [:], input: String = ""
  ) async throws -> Result {
    try await SinkctlProcess(arguments, environment: environment, input: input).end()
  }
}

/// A directory that goes with its last user.
final class TemporaryDirectory: Sendable {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "sinkctl-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  func text(_ name: String) -> String {
    String(decoding: (try? Data(contentsOf: url.appending(path: name))) ?? Data(), as: UTF8.self)
  }

  /// - Returns: the file's path.
  @discardableResult
  func write(_ name: String, _ text: String) throws -> String {
    let file = url.appending(path: name)
    try Data(text.utf8).write(to: file)
    return file.path
  }

  func handle(_ name: String) throws -> FileHandle {
    try FileHandle(forWritingTo: URL(filePath: write(name, "")))
  }
}
