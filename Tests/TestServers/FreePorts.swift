import Glibc

/// Loopback ports that nobody listened on a moment ago.
public enum FreePorts {
  public static func pick(_ count: Int) throws -> [Int] {
    // All are held until the last one is known, so that no two are the same.
    var sockets: [Int32] = []
    defer { for socket in sockets { close(socket) } }
    var ports: [Int] = []
    for _ in 0..<count {
      let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      guard socket >= 0 else { throw ServerProblem(message: "no socket: errno \(errno)") }
      sockets.append(socket)
      var address = Loopback.address(port: 0)
      let size = socklen_t(MemoryLayout<sockaddr_in>.size)
      var length = size
      let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
          guard unsafe bind(socket, pointer, size) == 0 else { return Int32(-1) }
          return unsafe getsockname(socket, pointer, &length)
        }
      }
      guard status == 0 else { throw ServerProblem(message: "no free port: errno \(errno)") }
      ports.append(Int(UInt16(bigEndian: address.sin_port)))
    }
    return ports
  }

  /// Whether somebody listens there.
  public static func isOpen(_ port: Int) -> Bool {
    guard let socket = Loopback.connected(to: port) else { return false }
    close(socket)
    return true
  }

  public static func waitUntilOpen(_ port: Int, within timeout: Duration = .patience) async throws {
    let deadline = ContinuousClock.now + timeout
    while !isOpen(port) {
      guard ContinuousClock.now < deadline else { throw ServerProblem(message: "nobody listens on port \(port)") }
      try await Task.sleep(for: .milliseconds(20))
    }
  }
}

/// One question and its answer, with a server on loopback that closes after it.
public enum Loopback {
  public static func exchange(port: Int, _ question: String) throws -> String {
    String(decoding: try exchange(port: port, Array(question.utf8)), as: UTF8.self)
  }

  public static func exchange(port: Int, _ bytes: [UInt8]) throws -> [UInt8] {
    guard let socket = connected(to: port) else { throw ServerProblem(message: "nobody listens on port \(port)") }
    defer { close(socket) }
    var patience = timeval(tv_sec: 20, tv_usec: 0)
    unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    guard unsafe send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
      throw ServerProblem(message: "port \(port) takes nothing: errno \(errno)")
    }
    var answer: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe recv(socket, &part, part.count, 0)
      guard count > 0 else { break }
      answer += part[..<count]
    }
    return answer
  }

  static func connected(to port: Int) -> Int32? {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard socket >= 0 else { return nil }
    var address = address(port: port)
    let isConnected = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        unsafe connect(socket, pointer, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    guard isConnected else {
      close(socket)
      return nil
    }
    return socket
  }

  static func address(port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }
}
