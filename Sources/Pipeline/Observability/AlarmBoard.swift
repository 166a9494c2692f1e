internal import Synchronization

/// The tables that wait for a person, with the server's words: set by the inserter, read by the status.
final class AlarmBoard: Sendable {
  private let messages = Mutex<[String: String]>([:])

  /// - Returns: whether the table had no alarm, or one with other words.
  func raise(_ table: String, _ message: String) -> Bool {
    messages.withLock { $0.updateValue(message, forKey: table) != message }
  }

  /// - Returns: whether there was one.
  func clear(_ table: String) -> Bool { messages.withLock { $0.removeValue(forKey: table) != nil } }

  var alarms: [PipelineStatus.Alarm] {
    messages.withLock { messages in
      messages.sorted { $0.key < $1.key }.map { PipelineStatus.Alarm(table: $0.key, message: $0.value) }
    }
  }
}
