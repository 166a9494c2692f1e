internal import Glibc
internal import SinkThreads
internal import Synchronization

/// SIGTERM, SIGINT and SIGHUP, passed on to a thread: a handler itself may do next to nothing.
///
/// Blocking the signals and waiting for them with sigwait would be simpler and does not work here: the runtime's main
/// thread sleeps in sigsuspend with an empty mask, and takes them with their default action.
enum SignalWatcher {
  private static let action = Mutex<(@Sendable () -> Void)?>(nil)
  /// Written by the handler, read by the thread.
  private static let pipeEnds: (read: Int32, write: Int32) = {
    var ends: [Int32] = [-1, -1]
    let status = unsafe pipe(&ends)
    precondition(status == 0, "pipe failed with errno \(errno)")
    return (ends[0], ends[1])
  }()

  static func start() {
    // Made before a handler needs it: making it in one would not be safe.
    let end = pipeEnds.read
    NamedThread(name: "sink-signals") { watch(end) }.detach()
    for number in [SIGTERM, SIGINT, SIGHUP] {
      let previous = signal(number) { number in
        var byte = UInt8(truncatingIfNeeded: number)
        _ = unsafe write(SignalWatcher.pipeEnds.write, &byte, 1)
      }
      // nohup: whoever wants the terminal's end ignored has said so before we began.
      if number == SIGHUP, unsafe isIgnored(previous) { _ = signal(SIGHUP, SIG_IGN) }
    }
  }

  /// What the first signal does. Without an action, and at the second signal, the process ends at once.
  static func onStop(_ body: @escaping @Sendable () -> Void) { action.withLock { $0 = body } }

  @unsafe private static func isIgnored(_ handler: (@convention(c) (Int32) -> Void)?) -> Bool {
    unsafe unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// A supervisor may send one wish twice, to the process and to its group, as timeout(1) does: that is no second signal.
  private static let sameWish = Duration.milliseconds(500)

  private static func watch(_ end: Int32) {
    var number: UInt8 = 0
    var firstAt: MonotonicInstant?
    while true {
      guard unsafe read(end, &number, 1) == 1 else { continue }
      let first = action.withLock { action in
        let taken = action
        action = nil
        return taken
      }
      let now = TimeSource.system.monotonic()
      if let first {
        firstAt = now
        first()
      } else if firstAt.map({ now - $0 > sameWish }) ?? true {
        Terminal.flush(within: .milliseconds(100))
        _exit(128 + Int32(number))
      }
    }
  }
}
