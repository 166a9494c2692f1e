internal import CSinkLibc
internal import Glibc

/// A POSIX thread with a name that `top -H` and a debugger show. It takes no signals: the process decides where those go.
package struct NamedThread: ~Copyable, Sendable {
  private let thread: pthread_t

  /// - Parameters:
  ///   - name: at most 15 bytes are shown (Linux).
  ///   - stackBytes: the whole stack; bodies here keep large things on the heap.
  package init(name: String, stackBytes: Int = 1 << 20, _ body: @escaping @Sendable () -> Void) {
    thread = Self.start(Start(name: name, body: body), stackBytes: stackBytes)
  }

  /// Waits for the body to return. Exactly one caller joins a thread.
  package consuming func join() {
    let status = pthread_join(thread, nil)
    precondition(status == 0, "pthread_join failed with \(status)")
  }

  /// Lets the thread end by itself: for work that nobody waits for.
  package consuming func detach() {
    let status = pthread_detach(thread)
    precondition(status == 0, "pthread_detach failed with \(status)")
  }

  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  private static func start(_ start: Start, stackBytes: Int) -> pthread_t {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    unsafe pthread_attr_setstacksize(&attributes, stackBytes)

    // A thread inherits its maker's mask: block everything around the creation, so that no signal ever lands on it.
    var all = sigset_t()
    var previous = sigset_t()
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_SETMASK, &all, &previous)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &previous, nil) }

    var thread = pthread_t()
    let context = unsafe Unmanaged.passRetained(start).toOpaque()
    let status = unsafe pthread_create(
      &thread, &attributes,
      { context in
        let start = unsafe Unmanaged<Start>.fromOpaque(context!).takeRetainedValue()
        _ = unsafe pthread_setname_np(pthread_self(), String(start.name.prefix(15)))
        start.body()
        return nil
      }, context)
    precondition(status == 0, "pthread_create failed with \(status) for \(start.name)")
    return thread
  }
}
