extension Duration {
  /// For waits that end as soon as what they wait for is there, on a machine that has much else to do.
  public static let patience = Duration.seconds(180)
}

/// Waits until it is so.
/// - Throws: `WaitedInVain`, which says what did not come and where it was waited for.
public func eventually(
  _ what: String, within timeout: Duration = .patience, file: StaticString = #fileID, line: Int = #line,
  _ condition: () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + timeout
  while try await !condition() {
    guard ContinuousClock.now < deadline else {
      throw WaitedInVain(message: "\(file):\(line): not within \(timeout): \(what)")
    }
    try await Task.sleep(for: .milliseconds(10))
  }
}

public struct WaitedInVain: Error {
  public let message: String

  public init(message: String) { self.message = message }
}
