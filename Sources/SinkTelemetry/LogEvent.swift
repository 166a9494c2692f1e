/// One thing that happened. The message is constant for its place in the code; what varies is metadata.
public struct LogEvent: Sendable {
  public let level: LogLevel
  public let message: String
  /// In the order in which the code gives them.
  public let metadata: [(key: String, value: String)]
  /// The module that speaks, or `librdkafka`.
  public let source: String

  public init(level: LogLevel, message: String, metadata: [(key: String, value: String)] = [], source: String) {
    self.level = level
    self.message = message
    self.metadata = metadata
    self.source = source
  }
}

/// Takes events from any thread; it must not block for long, since the data path may be the one that speaks.
public typealias LogHandler = @Sendable (LogEvent) -> Void

/// What a component holds to speak: a level, its name and where events go. Silent by default.
public struct Logger: Sendable {
  public let level: LogLevel
  public let source: String
  private let handler: LogHandler?

  public init(source: String, level: LogLevel = .info, handler: LogHandler? = nil) {
    self.source = source
    self.level = level
    self.handler = handler
  }

  /// The same handler and level under another name.
  public func named(_ source: String) -> Logger { Logger(source: source, level: level, handler: handler) }

  /// The metadata is made only when the event is wanted.
  public func log(
    _ level: LogLevel, _ message: String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
  ) {
    guard let handler, level >= self.level else { return }
    handler(LogEvent(level: level, message: message, metadata: metadata().map { ($0.key, $0.value) }, source: source))
  }

  public func debug(_ message: String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
    log(.debug, message, metadata())
  }

  public func info(_ message: String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
    log(.info, message, metadata())
  }

  public func notice(_ message: String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
    log(.notice, message, metadata())
  }

  public func warning(_ message: String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
    log(.warning, message, metadata())
  }

  public func error(_ message: String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
    log(.error, message, metadata())
  }
}
