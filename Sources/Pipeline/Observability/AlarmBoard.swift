internal import Synchronization

/// The tables (and dead letter topics) that wait for a person, with the server's words: set by the inserter, read by the
/// status. Beside that, the last failure of each table that has not taken an insert since.
final class AlarmBoard: Sendable {
  private let messages = Mutex<[String: String]>([:])
  private let failures = Mutex<[String: String]>([:])

  /// - Returns: whether the table had no alarm, or one with other words.
  func raise(_ table: String, _ message: String) -> Bool {
    messages.withLock { $0.updateValue(message, forKey: table) != message }
  }

  func note(_ table: String, _ failure: String) { failures.withLock { $0[table] = failure } }

  /// What the tables last said that do not take inserts now.
  var lastFailures: [String: String] { failures.withLock { $0 } }

  /// - Returns: whether there was an alarm.
  func clear(_ table: String) -> Bool {
    failures.withLock { $0[table] = nil }
    return messages.withLock { $0.removeValue(forKey: table) != nil }
  }

  var alarms: [PipelineStatus.Alarm] {
    messages.withLock { messages in
      messages.sorted { $0.key < $1.key }.map { PipelineStatus.Alarm(table: $0.key, message: $0.value) }
    }
  }
}
