internal import ClickHouseClient

/// An HTTP answer, as plain values: what ClickHouse says in its several ways, and what others say in its place.
public struct ServerAnswer: Sendable {
  /// How the peer knows where the body ends.
  public enum Framing: Sendable {
    case contentLength
    case chunked
    /// The connection closes after it.
    case untilClose
  }

  public var status: Int
  public var headers: [(name: String, value: String)]
  public var body: [UInt8]
  public var framing: Framing

  public init(
    _ status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
    framing: Framing = .contentLength
  ) {
    self.status = status
    self.headers = headers
    self.body = body
    self.framing = framing
  }

  public init(
    _ status: Int, headers: [(name: String, value: String)] = [], text: String, framing: Framing = .contentLength
  ) {
    self.init(status, headers: headers, body: Array(text.utf8), framing: framing)
  }

  /// What ClickHouse answers to an insert that it has stored.
  public static var ok: ServerAnswer {
    ServerAnswer(200, headers: [("Content-Type", "text/plain; charset=UTF-8"), ("X-ClickHouse-Timezone", "UTC")])
  }

  /// A server's error as it should be: a status, the code in `X-ClickHouse-Exception-Code`, the text in the body.
  /// - Parameter status: 500 for most codes; 404 for a missing table, 403 for a refused user.
  public static func exception(_ code: Int, _ message: String = "as scripted", status: Int = 500) -> ServerAnswer {
    ServerAnswer(
      status, headers: [("X-ClickHouse-Exception-Code", "\(code)")], text: exceptionText(code, message) + "\n")
  }

  /// The same on a 200, which ClickHouse sends when the status line was out already: the code is in the header.
  public static func exceptionHeaderOn200(_ code: Int, _ message: String = "as scripted") -> ServerAnswer {
    exception(code, message, status: 200)
  }

  /// A 200 whose body ends with an error, as servers since 25.11 write it: a block with a tag that a header names.
  /// - Parameter data: comes before it.
  public static func taggedException(
    _ code: Int, _ message: String = "as scripted", after data: [UInt8] = [], tag: String = "scriptedscripted"
  ) -> ServerAnswer {
    let text = exceptionText(code, message) + "\n"
    let block =
      "\r\n__exception__\r\n\(tag)\r\n\(text)\r\n\(text.utf8.count) \(tag)\r\n__exception__\r\n"
    return ServerAnswer(
      200, headers: [("X-ClickHouse-Exception-Tag", tag)], body: data + Array(block.utf8), framing: .chunked)
  }

  /// A 200 whose body ends with an error as plain text, as servers before 25.11 write it.
  public static func plainException(
    _ code: Int, _ message: String = "as scripted", after data: [UInt8] = []
  ) -> ServerAnswer {
    ServerAnswer(200, body: data + Array((exceptionText(code, message) + "\n").utf8), framing: .chunked)
  }

  /// What a proxy or load balancer shows when it cannot reach the server behind it.
  public static func page(_ status: Int = 502) -> ServerAnswer {
    ServerAnswer(
      status, headers: [("Content-Type", "text/html")],
      text: "<html><head><title>\(status)</title></head><body><h1>\(status) as scripted</h1></body></html>\r\n")
  }

  private static func exceptionText(_ code: Int, _ message: String) -> String {
    let name = ErrorCatalog.entry(for: code).map { " (\($0.name))" } ?? ""
    return "Code: \(code). DB::Exception: \(message)\(name) (version 26.9.1.1)"
  }

  /// As it goes over the wire.
  var bytes: [UInt8] {
    var head = "HTTP/1.1 \(status) \(status == 200 ? "OK" : "Scripted")\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    switch framing {
    case .contentLength:
      return Array((head + "Content-Length: \(body.count)\r\n\r\n").utf8) + body
    case .untilClose:
      return Array((head + "Connection: close\r\n\r\n").utf8) + body
    case .chunked:
      var chunks: [UInt8] = []
      var rest = body[...]
      while !rest.isEmpty {
        let piece = rest.prefix(4096)
        chunks += Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8)
        rest = rest.dropFirst(piece.count)
      }
      return Array((head + "Transfer-Encoding: chunked\r\n\r\n").utf8) + chunks + Array("0\r\n\r\n".utf8)
    }
  }
}
