internal import CSinkCurl
internal import SinkThreads
internal import Synchronization

/// One request under way: what libcurl's callbacks read and write. Used on the curl thread alone once it is handed
/// over.
@safe final class CurlTransfer: @unchecked Sendable {
  // Sendable: made on the caller's thread, handed over through the mailbox, and touched by the curl thread only after.
  /// Takes a piece of a body; false: not now, offer it again after `CurlLoop.resume`.
  typealias Chunk = @Sendable (RawSpan) -> Bool

  let request: HTTPRequest
  let startedAt: MonotonicInstant
  let completion: @Sendable (HTTPResponse) -> Void
  /// Takes the body of a 200 as it comes; nil where only its end matters.
  private let chunk: Chunk?
  private let tailLimitBytes: Int
  /// Set from any thread, before or after the start.
  let isCancelled = Atomic<Bool>(false)
  var response = HTTPResponse()
  private var sent = 0

  init(
    _ request: HTTPRequest, startedAt: MonotonicInstant, tailLimitBytes: Int = ResponseClassifier.tailLimitBytes,
    chunk: Chunk? = nil, completion: @escaping @Sendable (HTTPResponse) -> Void
  ) {
    self.request = request
    self.startedAt = startedAt
    self.tailLimitBytes = tailLimitBytes
    self.chunk = chunk
    self.completion = completion
  }

  var hasSent: Bool { sent > 0 }

  func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    unsafe request.body.withUnsafeBytes { bytes in
      let count = min(buffer.count, bytes.count - sent)
      if count > 0 { unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[sent..<sent + count])) }
      sent += count
      return count
    }
  }

  func take(header line: UnsafeRawBufferPointer) {
    let text = unsafe String(decoding: line, as: UTF8.self).trimmed
    if text.hasPrefix("HTTP/") {
      // A new head, after a proxy's or a 100.
      response.headers = [:]
      response.status = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    } else if let colon = text.firstIndex(of: ":") {
      response.headers[text[..<colon].lowercased()] = String(text[text.index(after: colon)...]).trimmed
    }
  }

  /// - Returns: false to be offered the same bytes again later.
  func take(body bytes: UnsafeRawBufferPointer) -> Bool {
    if let chunk, response.status == 200, unsafe !chunk(RawSpan(_unsafeBytes: bytes)) { return false }
    response.bodyBytes += bytes.count
    unsafe response.tail.append(contentsOf: bytes)
    // Cut in large steps, so that a long body is not moved byte by byte.
    if response.tail.count > 2 * tailLimitBytes {
      response.tail.removeFirst(response.tail.count - tailLimitBytes)
    }
    return true
  }
}

/// libcurl's callbacks: C functions that find their transfer by the pointer that was set.
enum CurlCallbacks {
  static let read: curl_write_callback = { buffer, size, count, context in
    guard let buffer = unsafe buffer, let transfer = unsafe transfer(context) else { return 0 }
    return unsafe transfer.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: size * count))
  }

  static let header: curl_write_callback = { buffer, size, count, context in
    guard let buffer = unsafe buffer, let transfer = unsafe transfer(context) else { return 0 }
    unsafe transfer.take(header: UnsafeRawBufferPointer(start: buffer, count: size * count))
    return size * count
  }

  static let body: curl_write_callback = { buffer, size, count, context in
    guard let buffer = unsafe buffer, let transfer = unsafe transfer(context) else { return 0 }
    let bytes = unsafe UnsafeRawBufferPointer(start: buffer, count: size * count)
    return unsafe transfer.take(body: bytes) ? size * count : Int(CURL_WRITEFUNC_PAUSE)
  }

  /// libcurl wants the body again when a reused connection dies after taking it. Refusing turns its silent second POST
  /// into error 65, which is what it is for us: an unknown outcome.
  static let seek: curl_seek_callback = { _, _, _ in CURL_SEEKFUNC_FAIL }

  private static func transfer(_ context: UnsafeMutableRawPointer?) -> CurlTransfer? {
    unsafe context.map { unsafe Unmanaged<CurlTransfer>.fromOpaque($0).takeUnretainedValue() }
  }
}
