internal import SinkBytes

/// One request, as the curl thread needs it.
struct HTTPRequest: Sendable {
  /// After the address: `?query=…`.
  var query: String
  var headers: [String]
  var body: HTTPBody
}

/// The bytes of a request, which must lie still while libcurl reads them.
final class HTTPBody: Sendable {
  private let buffer: ByteBuffer

  init(_ buffer: consuming ByteBuffer) { self.buffer = buffer }

  convenience init(_ text: String) {
    var buffer = ByteBuffer(capacity: text.utf8.count)
    buffer.append(utf8: text)
    self.init(buffer)
  }

  var count: Int { buffer.count }

  func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe buffer.withUnsafeBytes(body)
  }
}

/// What came back, and what libcurl says of the way.
struct HTTPResponse: Sendable {
  enum Way: Sendable, Equatable {
    /// A whole answer.
    case complete
    /// It ended before anything of the request was sent: nobody can have acted on it.
    case neverSent(String)
    /// It ended after something was sent, or may have been.
    case broken(String)
    /// We ended it.
    case cancelled
  }

  var way = Way.complete
  /// 0 where no answer came.
  var status = 0
  /// The headers that matter, names in lower case.
  var headers: [String: String] = [:]
  /// The whole body of a small answer; of a streamed or long one its end.
  var tail: [UInt8] = []
  var duration = Duration.zero
}
