internal import Glibc

/// A socket at a free port of 127.0.0.1.
final class ListeningSocket: Sendable {
  let descriptor: Int32
  let port: Int

  init(receiveBufferBytes: Int?) throws(ScriptedServerError) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard descriptor >= 0 else { throw Self.failure("socket") }
    var size = Int32(clamping: receiveBufferBytes ?? 0)
    if size > 0 {
      unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }
    var address = loopbackAddress(port: 0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        guard unsafe bind(descriptor, raw, length) == 0, listen(descriptor, 128) == 0 else { return Int32(-1) }
        return unsafe getsockname(descriptor, raw, &length)
      }
    }
    guard status == 0 else {
      let failure = Self.failure("bind")
      Glibc.close(descriptor)
      throw failure
    }
    self.descriptor = descriptor
    port = Int(UInt16(bigEndian: address.sin_port))
  }

  deinit { Glibc.close(descriptor) }

  /// - Returns: a connection's descriptor; nil where the peer is gone already.
  func accept() -> Int32? {
    let taken = Glibc.accept(descriptor, nil, nil)
    guard taken >= 0 else { return nil }
    // A child that the test starts must not keep the connection open.
    _ = fcntl(taken, F_SETFD, FD_CLOEXEC)
    return taken
  }

  private static func failure(_ call: String) -> ScriptedServerError {
    ScriptedServerError(description: "no socket on loopback: \(call) failed with errno \(errno)")
  }
}

func loopbackAddress(port: Int) -> sockaddr_in {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = in_port_t(UInt16(clamping: port)).bigEndian
  address.sin_addr = in_addr(s_addr: UInt32(0x7f00_0001).bigEndian)
  return address
}
