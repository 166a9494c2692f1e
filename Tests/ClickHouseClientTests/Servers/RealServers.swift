import ClickHouseClient
import Foundation
import TestServers
import Testing

/// The real ClickHouses that this machine has.
enum RealServer: String, CaseIterable, Sendable, CustomTestStringConvertible {
  /// Debian's 18.16.
  case old
  /// PyPI's 26.x engine behind scripts/clickhouse-front.
  case new

  static let here = allCases.filter { $0 == .old ? ClickHouseServer.program != nil : TestMachine.hasFront }
  static let hint: Comment = "needs Debian's clickhouse-server, or chdb-core: scripts/test installs both"

  var testDescription: String { self == .old ? "18.16" : "26.x" }

  /// Where the running one is.
  var url: String {
    guard let url = RealServersTrait.urls[self] else { preconditionFailure("\(self) was not started") }
    return url
  }

  func client(_ change: (inout ClickHouseConfiguration) -> Void = { _ in }) throws -> ClickHouseClient {
    var configuration = ClickHouseConfiguration(url: url)
    change(&configuration)
    return try ClickHouseClient(configuration)
  }
}

/// Starts the servers once for a suite, and stops them behind it.
struct RealServersTrait: SuiteTrait, TestScoping {
  @TaskLocal static var urls: [RealServer: String] = [:]

  var isRecursive: Bool { false }

  @concurrent func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable @concurrent () async throws -> Void
  ) async throws {
    var urls: [RealServer: String] = [:]
    let old = RealServer.here.contains(.old) ? try await ClickHouseServer.start() : nil
    let front = RealServer.here.contains(.new) ? try await TestMachine.startFront() : nil
    defer {
      old?.stop()
      front?.server.stop()
    }
    urls[.old] = old?.url
    urls[.new] = front?.url
    try await Self.$urls.withValue(urls) { try await function() }
  }
}

extension Trait where Self == RealServersTrait {
  static var realServers: Self { RealServersTrait() }
}
