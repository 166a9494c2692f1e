/// What waits for standard error: whole lines up to a bound, and the progress line that stands below them on a terminal.
/// A value, so that its tests need neither thread nor terminal.
struct LineBacklog {
  let limitBytes: Int
  /// A line for people or machines that says how many lines are missing here.
  var describeDropped: @Sendable (_ count: Int) -> String
  private var pending: [UInt8] = []
  private var dropped = 0
  /// What should stand below the lines, and what does.
  private var progress = ""
  private var shown = ""

  init(limitBytes: Int, describeDropped: @escaping @Sendable (Int) -> String) {
    self.limitBytes = limitBytes
    self.describeDropped = describeDropped
  }

  var isEmpty: Bool { pending.isEmpty && dropped == 0 && progress == shown }

  /// A line that does not fit is counted instead, and so is every line after it until the backlog has been taken: the gap
  /// is in one place and has one number.
  mutating func append(_ line: String) {
    guard dropped == 0, pending.count + line.utf8.count < limitBytes else {
      dropped += 1
      return
    }
    pending += line.utf8
    pending.append(0x0A)
  }

  /// Replaces the progress line; an empty one takes it away.
  mutating func showProgress(_ line: String) { progress = line }

  /// Makes the progress line an ordinary one, which stays.
  mutating func endProgress() {
    guard !progress.isEmpty else { return }
    append(progress)
    progress = ""
  }

  /// Everything that is to be written now; the backlog has room again.
  mutating func take() -> [UInt8] {
    var bytes: [UInt8] = []
    if !shown.isEmpty { bytes += Self.clear.utf8 }
    bytes += pending
    pending.removeAll(keepingCapacity: true)
    if dropped > 0 {
      bytes += (describeDropped(dropped) + "\n").utf8
      dropped = 0
    }
    bytes += progress.utf8
    shown = progress
    return bytes
  }

  private static let clear = "\r\u{1B}[2K"
}
