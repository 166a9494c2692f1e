internal import Glibc

/// Standard output, written at once, and standard error, written by a thread of its own.
enum Terminal {
  private static let errors = ErrorOutput(descriptor: STDERR_FILENO)

  /// A line of what the command is for. What was said on standard error before comes before it.
  static func out(_ text: String) {
    flush(within: .seconds(1))
    ErrorOutput.write(Array((text + "\n").utf8), to: STDOUT_FILENO)
  }

  /// A line on standard error; a progress line that stands there is drawn again below it.
  static func error(_ text: String) { errors.update { $0.append(text) } }

  /// Replaces the progress line; an empty one takes it away. A line that the terminal broke in two could not be drawn over.
  static func showProgress(_ line: String) {
    let columns = columns
    let shown = line.count < columns ? line : line.prefix(columns - 2) + "…"
    errors.update { $0.showProgress(shown) }
  }

  private static var columns: Int {
    var size = winsize()
    guard unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 10 else { return 80 }
    return Int(size.ws_col)
  }

  /// Leaves the last progress line standing.
  static func endProgress() { errors.update { $0.endProgress() } }

  /// How dropped lines are told: in the format of the lines around it.
  static func describeDropped(_ describe: @escaping @Sendable (Int) -> String) {
    errors.update { $0.describeDropped = describe }
  }

  static func flush(within timeout: Duration) { errors.flush(within: timeout) }

  /// Whether a person looks on who can see a line being redrawn.
  static var isInteractive: Bool {
    isatty(STDERR_FILENO) == 1 && Environment.system.variable("TERM").map { $0 != "dumb" } ?? false
  }
}
