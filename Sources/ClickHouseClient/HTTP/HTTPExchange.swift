internal import SinkBytes

/// One request, as the curl thread needs it.
struct HTTPRequest: Sendable {
  /// After the address: `?query=…`.
  var query: String
  var headers: [String]
  var body: HTTPBody
  /// From the first byte out to the last one in; nil for an answer that is read as slowly as its reader likes.
  var deadline: Duration?
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
  enum Way: Sendable {
    /// A whole answer.
    case complete
    /// It ended before ClickHouse got anything that it could act on.
    case neverSent(ClickHouseError)
    /// It ended after something was sent, or may have been.
    case broken(ClickHouseError)
  }

  var way = Way.complete
  /// 0 where no answer came.
  var status = 0
  /// The headers that matter, names in lower case.
  var headers: [String: String] = [:]
  /// The whole body of a small answer; of a streamed or long one its end.
  var tail: [UInt8] = []
  /// Of the whole body.
  var bodyBytes = 0
  var duration = Duration.zero
}
