internal import Glibc
internal import SinkThreads

/// Why a connection's thread has nothing more to do.
enum Ending: Error {
  /// The peer closed, or reset.
  case gone
  /// The peer was silent for longer than the server's patience.
  case silent
  /// The server stops.
  case stopping
  /// What came is no HTTP.
  case malformed
}

/// One connection: blocking reads and writes that end when the server stops. A socket is owned by one thread.
@safe final class SocketStream {
  /// `POLLRDHUP`, which the headers show only with _GNU_SOURCE.
  private static let peerEnded: Int16 = 0x2000

  let descriptor: Int32
  private let stopping: Int32
  private let patience: Duration
  private var isOpen = true

  /// - Parameter stopping: a descriptor that becomes readable when the server stops.
  init(_ descriptor: Int32, stopping: Int32, patience: Duration) {
    self.descriptor = descriptor
    self.stopping = stopping
    self.patience = patience
    var one: Int32 = 1
    unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
  }

  deinit { close() }

  func close() {
    guard isOpen else { return }
    isOpen = false
    Glibc.close(descriptor)
  }

  /// Ends with RST instead of FIN.
  func reset() {
    var now = linger(l_onoff: 1, l_linger: 0)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    close()
  }

  /// The bytes that have come, at most `limit` of them; waits for the first.
  func receive(atMost limit: Int) throws(Ending) -> [UInt8] {
    while true {
      var (received, failure) = (0, Int32(0))
      let piece = unsafe [UInt8](unsafeUninitializedCapacity: limit) { room, count in
        received = unsafe recv(descriptor, room.baseAddress, limit, Int32(MSG_DONTWAIT))
        if received < 0 { failure = errno }
        count = max(0, received)
      }
      if received > 0 { return piece }
      guard received < 0, failure == EAGAIN || failure == EINTR else { throw .gone }
      try wait(for: Int16(POLLIN), atMost: patience)
    }
  }

  func send(_ bytes: ArraySlice<UInt8>) throws(Ending) {
    var rest = bytes
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes {
        unsafe Glibc.send(
          descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
      }
      if count > 0 {
        rest = rest.dropFirst(count)
        continue
      }
      guard errno == EAGAIN || errno == EINTR else { throw .gone }
      try wait(for: Int16(POLLOUT), atMost: patience)
    }
  }

  /// Waits until the socket can be read or written.
  func wait(for events: Int16, atMost timeout: Duration) throws(Ending) {
    guard try poll([(descriptor, events)], timeout) != nil else { throw .silent }
  }

  /// Does nothing for a while.
  /// - Returns: false where the peer went away meanwhile.
  @discardableResult
  func pause(_ duration: Duration, until gate: Int32? = nil) throws(Ending) -> Bool {
    // Only the peer's end is of interest, not its bytes.
    let own = (descriptor, Self.peerEnded)
    let ready = try poll(gate.map { [own, ($0, Int16(POLLIN))] } ?? [own], min(duration, patience))
    if ready == nil, gate != nil { throw .silent }
    return ready != 0
  }

  /// Which of the descriptors is ready; nil after the time.
  func poll(_ watched: [(descriptor: Int32, events: Int16)], _ timeout: Duration) throws(Ending) -> Int? {
    var list = [pollfd(fd: stopping, events: Int16(POLLIN), revents: 0)]
    list += watched.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
    let deadline = TimeSource.system.monotonic() + timeout
    while true {
      let left = max(.zero, deadline - TimeSource.system.monotonic())
      let count = unsafe Glibc.poll(&list, nfds_t(list.count), left.milliseconds)
      if list[0].revents != 0 { throw .stopping }
      if count > 0, let index = list.dropFirst().firstIndex(where: { $0.revents != 0 }) { return index - 1 }
      if count == 0, TimeSource.system.monotonic() + .milliseconds(1) >= deadline { return nil }
    }
  }
}
