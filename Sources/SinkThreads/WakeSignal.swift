internal import CSinkLibc
internal import Glibc

/// Lets one thread sleep until another has something for it, or until a time has come. A wake that comes before the sleep is kept.
package final class WakeSignal: Sendable {
  private let descriptor: Int32

  package init() {
    descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
    precondition(descriptor >= 0, "eventfd failed with errno \(errno)")
  }

  deinit { close(descriptor) }

  /// From any thread, without blocking.
  package func wake() {
    var one: UInt64 = 1
    // EAGAIN means that the counter is full: the sleeper is awake anyway.
    _ = unsafe write(descriptor, &one, MemoryLayout<UInt64>.size)
  }

  /// Sleeps at most `timeout` and takes the wakes that have come.
  /// - Returns: whether a wake came.
  @discardableResult
  package func wait(atMost timeout: Duration) -> Bool {
    var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // Rounded up, so that a sleeper with a deadline in half a millisecond does not spin.
    let milliseconds = max(0, min(timeout, .seconds(3600)).nanoseconds + 999_999) / 1_000_000
    guard unsafe Glibc.poll(&poll, 1, Int32(milliseconds)) > 0 else { return false }
    var count: UInt64 = 0
    return unsafe read(descriptor, &count, MemoryLayout<UInt64>.size) > 0
  }
}
