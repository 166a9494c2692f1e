/// Why a pipeline could not start, or ended before it was asked to.
public struct PipelineError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// The configuration contradicts itself or the schema of a table.
    case configuration
    /// Kafka or ClickHouse could not be reached while starting.
    case unreachable
    /// Kafka or ClickHouse refused us: credentials, grants, a missing table or topic.
    case refused
    /// A record that cannot become a row, on a route whose dead letters are `stop`.
    case deadLetter = "dead_letter"
    /// Another member has taken over our instance id.
    case fenced
    /// `run` was called while a run is under way, or again after one.
    case alreadyRunning = "already_running"
    /// Asked to end, what was on its way did not land within `limits.drain`. The next start reads it again.
    case notDrained = "not_drained"
    /// The task was cancelled before there was an answer (`audit`).
    case cancelled
    /// The group has members, or they have committed meanwhile: its offsets cannot be set now.
    case groupInUse = "group_in_use"
    /// librdkafka's handle has failed for good.
    case kafka
  }

  public let code: Code
  public let message: String
  /// All findings, where there was more than one.
  public let details: [String]
  public let cause: (any Error)?

  public init(_ code: Code, _ message: String, details: [String] = [], cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.details = details
    self.cause = cause
  }

  /// Whether the same start may succeed later with nothing changed on our side.
  public var isRetriable: Bool { [.unreachable, .notDrained, .groupInUse, .kafka].contains(code) }

  public var description: String {
    ([message] + details.map { "  - \($0)" }).joined(separator: "\n")
  }
}
