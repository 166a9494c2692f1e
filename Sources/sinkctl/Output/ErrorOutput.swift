internal import Glibc
internal import SinkThreads
internal import Synchronization

/// Writes lines to a descriptor from a thread of its own, so that a reader who stops reading holds up nobody but that
/// thread: what finds no room is counted and said later.
final class ErrorOutput: Sendable {
  private struct State {
    var backlog: LineBacklog
    var isWriting = false
  }

  private let state: Mutex<State>
  private let work = WakeSignal()
  private let idle = WakeSignal()

  init(descriptor: Int32, limitBytes: Int = 1 << 20) {
    let backlog = LineBacklog(limitBytes: limitBytes) { "sinkctl: \($0) lines were dropped here: nobody read them" }
    state = Mutex(State(backlog: backlog))
    NamedThread(name: "sink-output") { self.serve(descriptor) }.detach()
  }

  func update(_ change: (inout LineBacklog) -> Void) {
    let hasWork = state.withLock { state in
      change(&state.backlog)
      return !state.backlog.isEmpty
    }
    if hasWork { work.wake() }
  }

  /// Waits until everything is written, or until the time is up: a reader who is gone for good ends no process late.
  func flush(within timeout: Duration) {
    let deadline = TimeSource.system.monotonic() + timeout
    while state.withLock({ $0.isWriting || !$0.backlog.isEmpty }) {
      let rest = deadline - TimeSource.system.monotonic()
      guard rest > .zero else { return }
      // In small steps: another that waits may have taken the wake.
      idle.wait(atMost: min(rest, .milliseconds(20)))
    }
  }

  private func serve(_ descriptor: Int32) {
    while true {
      let bytes = state.withLock { state in
        state.isWriting = !state.backlog.isEmpty
        return state.isWriting ? state.backlog.take() : []
      }
      if bytes.isEmpty {
        idle.wake()
        work.wait(atMost: .seconds(3600))
      } else {
        Self.write(bytes, to: descriptor)
      }
    }
  }

  /// Everything, however long it takes.
  static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var start = 0
    while start < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress! + start, bytes.count - start)
      }
      if count > 0 {
        start += count
      } else if errno == EAGAIN {
        // Whoever shares the descriptor with us has made it non-blocking.
        var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&room, 1, -1)
      } else if errno != EINTR {
        // Nobody reads any more: there is nobody to tell.
        return
      }
    }
  }
}
