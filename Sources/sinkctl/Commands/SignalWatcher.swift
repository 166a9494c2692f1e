internal import Glibc
internal import SinkThreads
internal import Synchronization

/// SIGTERM and SIGINT, on a thread that waits for them: a handler could do next to nothing.
enum SignalWatcher {
  private static let action = Mutex<(@Sendable () -> Void)?>(nil)

  /// Once, before any other thread exists: threads inherit the mask, so that only the watcher gets these signals.
  static func start() {
    var stops = sigset_t()
    unsafe sigemptyset(&stops)
    unsafe sigaddset(&stops, SIGTERM)
    unsafe sigaddset(&stops, SIGINT)
    unsafe pthread_sigmask(SIG_BLOCK, &stops, nil)
    let waited = stops
    NamedThread(name: "sink-signals") { watch(waited) }.detach()
  }

  /// What the first signal does. Without an action, and at the second signal, the process ends at once.
  static func onStop(_ body: @escaping @Sendable () -> Void) { action.withLock { $0 = body } }

  private static func watch(_ stops: sigset_t) {
    var stops = stops
    while true {
      var number: Int32 = 0
      guard unsafe sigwait(&stops, &number) == 0 else { continue }
      let first = action.withLock { action in
        defer { action = nil }
        return action
      }
      guard let first else { _exit(128 + number) }
      first()
    }
  }
}
