internal import Glibc

/// Where a real server is.
struct UpstreamAddress: Sendable {
  let host: String
  let port: Int

  init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  init(_ url: String) throws(ScriptedServerError) {
    let scheme = "http://"
    let rest = url.dropFirst(scheme.count).prefix { $0 != "/" }
    guard url.hasPrefix(scheme), let address = UpstreamAddress(authority: rest) else {
      throw ScriptedServerError(description: "'\(url)' cannot be forwarded to; give it as http://host:port")
    }
    self = address
  }

  init?(authority: Substring) {
    let parts = authority.split(separator: ":")
    guard parts.count == 2, let port = Int(parts[1]), (1...65535).contains(port) else { return nil }
    self.init(host: String(parts[0]), port: port)
  }

  func connect(stopping: Int32, patience: Duration) throws(Ending) -> SocketStream {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    unsafe hints.ai_family = AF_INET
    var found: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(host, "\(port)", &hints, &found) == 0, let found = unsafe found else { throw .gone }
    defer { unsafe freeaddrinfo(found) }
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw .gone }
    let stream = SocketStream(descriptor, stopping: stopping, patience: patience)
    // Loopback answers at once.
    guard unsafe Glibc.connect(descriptor, found.pointee.ai_addr, found.pointee.ai_addrlen) == 0 else { throw .gone }
    return stream
  }
}

extension ServerCore {
  private static let hopByHop: Set<String> = [
    "host", "connection", "content-length", "transfer-encoding", "expect", "proxy-connection",
  ]

  /// Sends a whole request to the real server.
  /// - Returns: its answer as it goes on to the client, and whether that connection ends with it.
  func forward(
    _ request: ReceivedRequest, body: [UInt8], to address: UpstreamAddress
  ) throws(Ending) -> (answer: [UInt8], isLast: Bool) {
    let stream = try address.connect(stopping: stopSignal.descriptor, patience: patience)
    defer { stream.close() }
    // An absolute URL is what a proxy is sent; the server behind it takes the path.
    let target = request.target.firstRange(of: "://").map { request.target[$0.upperBound...].drop { $0 != "/" } }
    var head =
      "\(request.method) \(target ?? request.target[...]) HTTP/1.1\r\nHost: \(address.host):\(address.port)\r\n"
    for (name, value) in request.headers where !Self.hopByHop.contains(name.lowercased()) {
      head += "\(name): \(value)\r\n"
    }
    head += "Connection: close\r\nContent-Length: \(body.count)\r\n\r\n"
    try stream.send(Array(head.utf8)[...])
    try stream.send(body[...])
    var answer: [UInt8] = []
    while true {
      do throws(Ending) {
        answer += try stream.receive(atMost: 64 << 10)
      } catch {
        guard error == .gone else { throw error }
        return Self.keepingAlive(answer)
      }
    }
  }

  /// The real server was told to close and says so; where the body shows its own end, that is not the client's business.
  private static func keepingAlive(_ answer: [UInt8]) -> (answer: [UInt8], isLast: Bool) {
    guard let end = answer.firstRange(of: Array("\r\n\r\n".utf8))?.lowerBound else { return (answer, true) }
    let lines = String(decoding: answer[..<end], as: UTF8.self).split(separator: "\r\n")
    let names = lines.map { $0.prefix { $0 != ":" }.lowercased() }
    guard names.contains("content-length") || names.contains("transfer-encoding") else { return (answer, true) }
    let kept = zip(lines, names).filter { $0.1 != "connection" && $0.1 != "keep-alive" }.map(\.0)
    return (Array(kept.joined(separator: "\r\n").utf8) + answer[end...], false)
  }

  /// Passes bytes on in both directions until one side ends.
  func tunnel(_ near: SocketStream, _ first: ArraySlice<UInt8>, to address: UpstreamAddress) throws(Ending) {
    let far = try address.connect(stopping: stopSignal.descriptor, patience: patience)
    defer { far.close() }
    try near.send(Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8)[...])
    try far.send(first)
    while true {
      let watched = [(near.descriptor, Int16(POLLIN)), (far.descriptor, Int16(POLLIN))]
      guard let ready = try near.poll(watched, patience) else { throw .silent }
      let (from, to) = ready == 0 ? (near, far) : (far, near)
      try to.send(try from.receive(atMost: 64 << 10)[...])
    }
  }
}
