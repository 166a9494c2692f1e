/// Reads requests off a connection: heads, and bodies as far as a step wants them.
struct RequestReader {
  private enum Framing {
    case length(Int)
    /// Bytes left of the chunk that is being read; nil before one.
    case chunked(Int?)
  }

  struct Head {
    var method = ""
    var target = ""
    var headers: [(name: String, value: String)] = []

    func header(_ name: String) -> String? { headers.last { $0.name.lowercased() == name }?.value }
  }

  static let headLimitBytes = 64 << 10
  static let bodyLimitBytes = 256 << 20

  private let stream: SocketStream
  private var buffer: ArraySlice<UInt8> = []
  private var framing = Framing.length(0)
  private(set) var bodyBytes = 0

  init(_ stream: SocketStream) { self.stream = stream }

  var isBodyWhole: Bool { if case .length(0) = framing { true } else { false } }

  /// - Returns: nil where the peer ends the connection before another request.
  mutating func head() throws(Ending) -> Head? {
    var head = Head()
    let first: String
    do throws(Ending) {
      first = try line()
    } catch {
      if error == .gone, buffer.isEmpty { return nil }
      throw error
    }
    let words = first.split(separator: " ")
    guard words.count == 3, words[2].hasPrefix("HTTP/1.") else { throw .malformed }
    (head.method, head.target) = (String(words[0]), String(words[1]))
    while true {
      let text = try line()
      if text.isEmpty { break }
      guard let colon = text.firstIndex(of: ":"), head.headers.count < 200 else { throw .malformed }
      let value = text[text.index(after: colon)...].drop { $0 == " " }
      head.headers.append((String(text[..<colon]), String(value)))
    }
    bodyBytes = 0
    if head.header("transfer-encoding")?.lowercased() == "chunked" {
      framing = .chunked(nil)
    } else {
      guard let length = Int(head.header("content-length") ?? "0"), (0...Self.bodyLimitBytes).contains(length) else {
        throw .malformed
      }
      framing = .length(length)
    }
    return head
  }

  /// Some of the body, at most `limit` bytes; nothing at its end.
  mutating func body(atMost limit: Int) throws(Ending) -> ArraySlice<UInt8> {
    switch framing {
    case .length(0): return []
    case .length(let left):
      let piece = try some(atMost: min(limit, left))
      framing = .length(left - piece.count)
      return try count(piece)
    case .chunked(nil):
      guard let size = Int(try line().prefix { $0.isHexDigit }, radix: 16), size >= 0 else { throw .malformed }
      if size == 0 {
        while try !line().isEmpty {}
        framing = .length(0)
        return []
      }
      framing = .chunked(size)
      return try body(atMost: limit)
    case .chunked(let left?):
      let piece = try some(atMost: min(limit, left))
      framing = .chunked(left - piece.count)
      if piece.count == left {
        guard try line().isEmpty else { throw .malformed }
        framing = .chunked(nil)
      }
      return try count(piece)
    }
  }

  /// What came after the head, for a tunnel.
  mutating func takeBuffered() -> ArraySlice<UInt8> {
    defer { buffer = [] }
    return buffer
  }

  private mutating func count(_ piece: ArraySlice<UInt8>) throws(Ending) -> ArraySlice<UInt8> {
    bodyBytes += piece.count
    guard bodyBytes <= Self.bodyLimitBytes else { throw .malformed }
    return piece
  }

  private mutating func some(atMost limit: Int) throws(Ending) -> ArraySlice<UInt8> {
    if buffer.isEmpty { buffer = try stream.receive(atMost: min(limit, 64 << 10))[...] }
    let piece = buffer.prefix(limit)
    buffer = buffer.dropFirst(piece.count)
    return piece
  }

  private mutating func line() throws(Ending) -> String {
    while true {
      if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
        var line = buffer[..<end]
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        buffer = buffer[(end + 1)...]
        return String(decoding: line, as: UTF8.self)
      }
      guard buffer.count < Self.headLimitBytes else { throw .malformed }
      buffer += try stream.receive(atMost: 16 << 10)
    }
  }
}

/// Undoes what `percent encoding` does to a URL's parameters.
func percentDecoded(_ text: Substring) -> String {
  var bytes: [UInt8] = []
  var rest = text.utf8[...]
  while let byte = rest.popFirst() {
    if byte == UInt8(ascii: "%"), let code = UInt8(String(Substring(rest.prefix(2))), radix: 16) {
      bytes.append(code)
      rest = rest.dropFirst(2)
    } else {
      bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
    }
  }
  return String(decoding: bytes, as: UTF8.self)
}

/// The parameters of a request's target.
func parameters(of target: String) -> [(name: String, value: String)] {
  guard let mark = target.firstIndex(of: "?") else { return [] }
  return target[target.index(after: mark)...].split(separator: "&").map { pair in
    let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    return (percentDecoded(parts[0]), parts.count > 1 ? percentDecoded(parts[1]) : "")
  }
}
