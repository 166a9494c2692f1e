internal import Glibc

/// A regular expression over topic names, POSIX extended: the language in which librdkafka reads a subscription that
/// starts with `^`, so that a route and the subscription always mean the same topics.
@safe final class TopicPattern: @unchecked Sendable {
  // Sendable: compiled once in the initialiser; regexec only reads it (POSIX requires it to be thread-safe).
  private let compiled: UnsafeMutablePointer<regex_t>
  let text: String

  /// - Throws: `PipelineError` with the C library's words.
  init(_ text: String) throws(PipelineError) {
    let fresh = UnsafeMutablePointer<regex_t>.allocate(capacity: 1)
    unsafe fresh.initialize(to: regex_t())
    let status = unsafe regcomp(fresh, text, REG_EXTENDED | REG_NOSUB)
    guard status == 0 else {
      let reason = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { words in
        _ = unsafe regerror(status, fresh, words.baseAddress, words.count)
        return unsafe String(cString: words.baseAddress!)
      }
      unsafe fresh.deallocate()
      // Before anything is stored: deinit, which would free it again, does not run.
      throw PipelineError(.configuration, "topic pattern '\(text)' is not a regular expression: \(reason)")
    }
    self.text = text
    unsafe compiled = fresh
  }

  deinit {
    unsafe regfree(compiled)
    unsafe compiled.deallocate()
  }

  func matches(_ topic: String) -> Bool { unsafe regexec(compiled, topic, 0, nil, 0) == 0 }
}
