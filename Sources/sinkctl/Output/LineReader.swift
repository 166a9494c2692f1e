internal import Glibc

/// Lines of a file or of standard input, one at a time, in bounded memory.
@safe final class LineReader {
  private let file: UnsafeMutablePointer<FILE>
  private var buffer: UnsafeMutablePointer<CChar>?
  private var capacity = 0
  /// Bytes read so far, line breaks included.
  private(set) var bytesRead = 0

  /// - Parameter path: `-` is standard input.
  /// - Returns: nil where the file cannot be opened; `errno` says why.
  init?(path: String) {
    guard let file = unsafe path == "-" ? fdopen(STDIN_FILENO, "r") : fopen(path, "re") else { return nil }
    unsafe self.file = file
  }

  deinit {
    unsafe free(buffer)
    unsafe fclose(file)
  }

  /// The next line without its break; nil at the end.
  func next() -> [UInt8]? {
    let count = unsafe getline(&buffer, &capacity, file)
    guard count >= 0, let start = unsafe buffer else { return nil }
    bytesRead += count
    var bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: count))
    if bytes.last == 0x0A { bytes.removeLast() }
    if bytes.last == 0x0D { bytes.removeLast() }
    return bytes
  }
}
