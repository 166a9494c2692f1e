internal import Pipeline
internal import SinkTelemetry
internal import SinkThreads

/// One calm line on how it goes: redrawn on a terminal, logged every 30 seconds elsewhere.
struct ProgressLine {
  private let isInteractive: Bool
  private let logger: Logger
  private var last: (status: PipelineStatus, at: MonotonicInstant)?
  private static let logInterval = Duration.seconds(30)

  init(isInteractive: Bool, logger: Logger) {
    self.isInteractive = isInteractive
    self.logger = logger
  }

  mutating func show(_ status: PipelineStatus, at now: MonotonicInstant) {
    guard let last else {
      last = (status, now)
      return
    }
    guard now - last.at >= (isInteractive ? .milliseconds(500) : Self.logInterval) else { return }
    self.last = (status, now)
    let seconds = (now - last.at).seconds
    let rows = Double(status.rowsInserted - last.status.rowsInserted) / seconds
    let bytes = Double(status.bytesReceived - last.status.bytesReceived) / seconds
    if isInteractive {
      Terminal.showProgress(Self.text(status, rowsPerSecond: rows, bytesPerSecond: bytes))
    } else {
      logger.info(
        "progress",
        [
          "phase": status.phase.rawValue, "rows": "\(status.rowsInserted)", "rows_per_second": "\(Int(rows))",
          "bytes_per_second": "\(Int(bytes))", "lag": "\(status.lag)", "in_flight": "\(status.insertsInFlight)",
          "dead_letters": "\(status.deadLetters)",
        ])
    }
  }

  static func text(_ status: PipelineStatus, rowsPerSecond: Double, bytesPerSecond: Double) -> String {
    var parts = [
      status.phase.rawValue, "\(grouped(status.rowsInserted)) rows", "\(grouped(Int(rowsPerSecond))) rows/s",
      "\((bytesPerSecond / 1e5).rounded() / 10) MB/s", "lag \(grouped(Int(status.lag)))",
      "\(status.insertsInFlight) in flight",
    ]
    if status.deadLetters > 0 { parts.append("\(grouped(status.deadLetters)) dead letters") }
    if status.isPaused { parts.append("paused for memory") }
    for alarm in status.alarms { parts.append("\(alarm.table) refuses inserts") }
    return parts.joined(separator: " · ")
  }

  static func grouped(_ number: Int) -> String {
    let digits = String(abs(number))
    var result = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { result.append(",") }
      result.append(digit)
    }
    return number < 0 ? "-" + result : result
  }
}
