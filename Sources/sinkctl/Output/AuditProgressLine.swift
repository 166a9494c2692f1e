internal import Pipeline
internal import SinkThreads
internal import Synchronization

/// How far an audit is: redrawn on a terminal, a line every 30 seconds elsewhere. Called from any thread.
final class AuditProgressLine: Sendable {
  private struct State {
    var next: MonotonicInstant
    /// When the reading of the log began, for its speed.
    var start: MonotonicInstant?
  }

  private static let interval = Duration.milliseconds(250)
  private static let logInterval = Duration.seconds(30)

  private let isInteractive: Bool
  private let time: TimeSource
  private let state: Mutex<State>

  init(isInteractive: Bool, time: TimeSource = .system) {
    self.isInteractive = isInteractive
    self.time = time
    state = Mutex(State(next: time.monotonic() + (isInteractive ? Self.interval : Self.logInterval)))
  }

  func show(_ progress: AuditProgress) {
    let now = time.monotonic()
    let seconds: Double? = state.withLock { state in
      if case .readingLog = progress, state.start == nil { state.start = now }
      guard now >= state.next else { return nil }
      state.next = now + (isInteractive ? Self.interval : Self.logInterval)
      return state.start.map { (now - $0).seconds } ?? 0
    }
    guard let seconds else { return }
    let text = Self.text(progress, seconds: seconds)
    if isInteractive { Terminal.showProgress(text) } else { Terminal.error("sinkctl: \(text)") }
  }

  func end() { if isInteractive { Terminal.showProgress("") } }

  static func text(_ progress: AuditProgress, seconds: Double) -> String {
    switch progress {
    case .askingTable(let table): return "asking the table \(table)"
    case .readingDeadLetters(let topic): return "reading the dead letters in \(topic)"
    case .readingLog(let offsets, let all):
      let rate = seconds > 0 ? Double(offsets) / seconds : 0
      let left = rate > 0 ? " · \(Int((Double(all - offsets) / rate).rounded(.up))) s left" : ""
      return "reading the log: \(all > 0 ? offsets * 100 / all : 100) % · "
        + "\(ProgressLine.grouped(Int(offsets))) of \(ProgressLine.grouped(Int(all))) offsets · "
        + "\(ProgressLine.grouped(Int(rate)))/s\(left)"
    }
  }
}
