internal import Glibc

/// Writes small files.
enum TextFile {
  struct Problem: Error {
    let message: String
  }

  /// In place of what is there.
  static func write(_ text: String, to path: String) throws(Problem) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw Problem(message: unsafe "\(path): \(String(cString: strerror(errno)))") }
    ErrorOutput.write(Array(text.utf8), to: descriptor)
    guard close(descriptor) == 0 else { throw Problem(message: unsafe "\(path): \(String(cString: strerror(errno)))") }
  }
}
