internal import CSinkLibc
internal import Glibc

/// Closed until a test opens it; any number of requests may wait behind it.
public final class ServerGate: Sendable {
  let descriptor: Int32

  public init() {
    descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
    precondition(descriptor >= 0, "eventfd failed with errno \(errno)")
  }

  deinit { close(descriptor) }

  /// From any thread; it stays open. Nobody takes the count back, so that all who wait see it.
  public func open() {
    var one: UInt64 = 1
    _ = unsafe write(descriptor, &one, MemoryLayout<UInt64>.size)
  }
}
