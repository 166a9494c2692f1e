internal import Glibc

/// Lines of a file or of standard input, one at a time, in bounded memory.
final class LineReader {
  struct Problem: Error {
    let message: String
  }

  /// No broker takes a record of this size.
  static let lineLimitBytes = 256 << 20

  private let name: String
  private let descriptor: Int32
  private var chunk = [UInt8](repeating: 0, count: 256 << 10)
  private var unread = 0..<0
  private var isAtEnd = false
  /// The number of the line that `next` returned last, from 1.
  private(set) var lineNumber = 0

  /// - Parameter path: `-` is standard input.
  init(path: String) throws(Problem) {
    name = path == "-" ? "standard input" : path
    descriptor = path == "-" ? dup(STDIN_FILENO) : unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.problem(name) }
  }

  deinit { close(descriptor) }

  /// The next line without its break; nil at the end.
  func next() throws(Problem) -> [UInt8]? {
    var line: [UInt8] = []
    while true {
      if let end = chunk[unread].firstIndex(of: 0x0A) {
        line += chunk[unread.lowerBound..<end]
        unread = end + 1..<unread.upperBound
        break
      }
      line += chunk[unread]
      guard line.count <= Self.lineLimitBytes else {
        throw Problem(message: "\(name): line \(lineNumber + 1) is longer than \(Self.lineLimitBytes >> 20) MiB")
      }
      guard try fill() else {
        if line.isEmpty { return nil }
        break
      }
    }
    lineNumber += 1
    if line.last == 0x0D { line.removeLast() }
    return line
  }

  private func fill() throws(Problem) -> Bool {
    unread = 0..<0
    while !isAtEnd {
      let count = unsafe read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw Self.problem(name) }
      isAtEnd = count == 0
      unread = 0..<count
      return count > 0
    }
    return false
  }

  private static func problem(_ name: String) -> Problem {
    Problem(message: unsafe "\(name): \(String(cString: strerror(errno)))")
  }
}
