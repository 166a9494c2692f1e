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

  /// Replaces the progress line; an empty one takes it away.
  static func showProgress(_ line: String) { errors.update { $0.showProgress(line) } }

  /// Leaves the last progress line standing.
  static func endProgress() { errors.update { $0.endProgress() } }

  /// How dropped lines are told: in the format of the lines around it.
  static func describeDropped(_ describe: @escaping @Sendable (Int) -> String) {
    errors.update { $0.describeDropped = describe }
  }

  static func flush(within timeout: Duration) { errors.flush(within: timeout) }

  static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }
}
