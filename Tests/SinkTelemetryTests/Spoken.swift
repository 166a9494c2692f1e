import SinkTelemetry
import Synchronization

/// Collects what is logged.
final class Spoken: Sendable {
  private let state = Mutex<[LogEvent]>([])

  var events: [LogEvent] { state.withLock { $0 } }

  func take(_ event: LogEvent) { state.withLock { $0.append(event) } }
}
