internal import Glibc
internal import Synchronization

/// Standard output and error, line by line, and a progress line that other lines do not tear.
enum Terminal {
  private static let progress = Mutex("")

  static func out(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }

  /// A line on standard error; a progress line that stands there is drawn again below it.
  static func error(_ text: String) {
    progress.withLock { line in
      write((line.isEmpty ? "" : clear) + text + "\n" + line, to: STDERR_FILENO)
    }
  }

  /// Replaces the progress line; an empty one takes it away.
  static func showProgress(_ line: String) {
    progress.withLock { shown in
      guard !(shown.isEmpty && line.isEmpty) else { return }
      shown = line
      write(clear + line, to: STDERR_FILENO)
    }
  }

  /// Leaves the last progress line standing.
  static func endProgress() {
    progress.withLock { shown in
      guard !shown.isEmpty else { return }
      shown = ""
      write("\n", to: STDERR_FILENO)
    }
  }

  static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }

  private static let clear = "\r\u{1B}[2K"

  private static func write(_ text: String, to descriptor: Int32) {
    let bytes = Array(text.utf8)
    var start = 0
    while start < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress! + start, bytes.count - start)
      }
      if count < 0, errno == EINTR { continue }
      // Nobody reads any more: there is nobody to tell.
      guard count > 0 else { return }
      start += count
    }
  }
}
