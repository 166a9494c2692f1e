internal import SinkThreads

/// One calm line while the demo moves; nothing where nobody looks on.
struct DemoProgress {
  private static let interval = Duration.milliseconds(250)

  let total: Int
  let kills: Int
  /// What the last second's speed is measured from.
  private var seen: [(rows: Int, at: MonotonicInstant)] = []
  private var next: MonotonicInstant?

  init(total: Int, kills: Int) {
    self.total = total
    self.kills = kills
  }

  mutating func show(_ rows: Int, kills done: Int, _ now: MonotonicInstant) {
    guard Terminal.isInteractive, next.map({ now >= $0 }) ?? true else { return }
    next = now + Self.interval
    seen.append((rows, now))
    if seen.count > 8 { seen.removeFirst() }
    let seconds = (now - seen[0].at).seconds
    let rate = seconds > 0 ? Double(rows - seen[0].rows) / seconds : 0
    Terminal.showProgress(Self.text(rows, of: total, rate: rate, kills: done, of: kills))
  }

  static func text(_ rows: Int, of total: Int, rate: Double, kills done: Int, of kills: Int) -> String {
    var text =
      "\(ProgressLine.grouped(rows)) of \(ProgressLine.grouped(total)) rows · \(ProgressLine.grouped(Int(rate))) rows/s"
    if kills > 0 { text += " · \(done) of \(kills) kills" }
    return text
  }
}
