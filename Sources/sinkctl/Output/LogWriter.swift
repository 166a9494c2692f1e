internal import SinkTelemetry
internal import SinkThreads

/// Writes log events to standard error, as a person, a collector or journald wants them.
struct LogWriter: Sendable {
  let format: SinkctlConfiguration.LogFormat
  let time: TimeSource

  func logger(_ source: String, level: LogLevel) -> Logger { Logger(source: source, level: level, handler: write) }

  @Sendable func write(_ event: LogEvent) { Terminal.error(line(event, at: time.wallNanoseconds())) }

  func line(_ event: LogEvent, at nanoseconds: Int64) -> String {
    switch format {
    case .text:
      let fields = event.metadata.map { " \($0.key)=\(Self.shown($0.value))" }.joined()
      return "\(Timestamp.text(nanoseconds)) \(Self.padded(event.level)) \(event.source): \(event.message)\(fields)"
    case .journald:
      let fields = event.metadata.map { " \($0.key)=\(Self.shown($0.value))" }.joined()
      return "<\(Self.priority(event.level))>\(event.source): \(event.message)\(fields)"
    case .json:
      var json = JSONText()
      json.object { json in
        json.field("time", Timestamp.text(nanoseconds))
        json.field("level", event.level.description)
        json.field("source", event.source)
        json.field("message", event.message)
        for (key, value) in event.metadata { json.field(key, value) }
      }
      return json.text
    }
  }

  /// Quoted where it would not read as one word; a control character could forge a line.
  private static func shown(_ value: String) -> String {
    let isPlain = !value.isEmpty && value.unicodeScalars.allSatisfy { $0.value > 0x20 && $0 != "\"" && $0 != "=" }
    return isPlain ? value : JSONText.quoted(value)
  }

  private static func padded(_ level: LogLevel) -> String {
    level.description + String(repeating: " ", count: max(0, 8 - level.description.count))
  }

  /// syslog(3)'s.
  private static func priority(_ level: LogLevel) -> Int {
    switch level {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }
}
