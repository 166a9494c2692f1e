internal import SinkTelemetry
internal import SinkThreads

/// Writes log events to standard error, as a person, a collector or journald wants them.
struct LogWriter: Sendable {
  let format: SinkctlConfiguration.LogFormat
  let time: TimeSource

  func logger(_ source: String, level: LogLevel) -> Logger { Logger(source: source, level: level, handler: write) }

  @Sendable func write(_ event: LogEvent) { Terminal.error(line(event, at: time.wallNanoseconds())) }

  /// Says how many lines are missing, where nobody read them in time.
  @Sendable func describeDropped(_ count: Int) -> String {
    let event = LogEvent(
      level: .warning, message: "log lines were dropped here: nobody read them", metadata: [("lines", "\(count)")],
      source: "sinkctl")
    return line(event, at: time.wallNanoseconds())
  }

  /// Why a command ends: for people as they would read it, for machines as one event.
  func fail(_ code: String, _ message: String, details: [String] = []) {
    guard format != .text else {
      return Terminal.error(([("sinkctl: " + message)] + details.map { "  - \($0)" }).joined(separator: "\n"))
    }
    var metadata = [("code", code), ("reason", message)]
    if !details.isEmpty { metadata.append(("details", details.joined(separator: "; "))) }
    write(LogEvent(level: .critical, message: "sinkctl ends", metadata: metadata, source: "sinkctl"))
  }

  func line(_ event: LogEvent, at nanoseconds: Int64) -> String {
    switch format {
    case .text:
      let fields = event.metadata.map { " \($0.key)=\(Self.shown($0.value))" }.joined()
      return
        "\(Timestamp.text(nanoseconds)) \(Self.padded(event.level)) \(event.source): \(Self.clean(event.message))\(fields)"
    case .journald:
      let fields = event.metadata.map { " \($0.key)=\(Self.shown($0.value))" }.joined()
      return "<\(Self.priority(event.level))>\(event.source): \(Self.clean(event.message))\(fields)"
    case .json:
      var json = JSONText()
      json.object { json in
        json.field("time", Timestamp.text(nanoseconds))
        json.field("level", event.level.description)
        json.field("source", event.source)
        json.field("message", event.message)
        for (key, value) in event.metadata { json.field(Self.ours.contains(key) ? "event_\(key)" : key, value) }
      }
      return json.text
    }
  }

  /// Names that an object has already, and must not have twice.
  private static let ours: Set = ["time", "level", "source", "message"]

  /// Quoted where it would not read as one word; a control character could forge a line or steer a terminal.
  private static func shown(_ value: String) -> String {
    let isPlain =
      !value.isEmpty
      && value.unicodeScalars.allSatisfy { $0 != " " && $0 != "\"" && $0 != "=" && !JSONText.isControl($0) }
    return isPlain ? value : JSONText.quoted(value)
  }

  /// Our messages are constant; librdkafka's hold what brokers say.
  private static func clean(_ message: String) -> String {
    guard message.unicodeScalars.contains(where: JSONText.isControl) else { return message }
    return String(JSONText.quoted(message).dropFirst().dropLast())
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
