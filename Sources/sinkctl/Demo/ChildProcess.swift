internal import Glibc
internal import SinkThreads
internal import Synchronization

/// A program in a process of its own. It is reaped when it ends, and ends with us at the latest.
final class ChildProcess: Sendable {
  struct Problem: Error {
    let message: String
  }

  private struct State {
    /// 0 before it has started and after it was reaped.
    var pid: pid_t = 0
    /// 128 and the number where a signal ended it.
    var code: Int32?
    var problem: String?
  }

  private let state = Mutex(State())

  /// - Parameters:
  ///   - arguments: the program's path first.
  ///   - log: the file that its output is added to.
  init(_ arguments: [String], log: String) {
    // A thread of its own that stays until the child has ended: the kernel takes a thread's end for the parent's.
    NamedThread(name: "sink-child") { self.live(arguments, log) }.detach()
  }

  /// nil while it runs.
  var code: Int32? { state.withLock { $0.code } }

  /// Why it could not be started.
  var problem: String? { state.withLock { $0.problem } }

  func send(_ signal: Int32) {
    state.withLock { state in
      if state.pid > 0 { kill(state.pid, signal) }
    }
  }

  /// - Returns: its exit code; nil where it still runs.
  func end(within timeout: Duration) async -> Int32? {
    let deadline = TimeSource.system.monotonic() + timeout
    while code == nil, TimeSource.system.monotonic() < deadline { try? await Task.sleep(for: .milliseconds(5)) }
    return code
  }

  private func live(_ arguments: [String], _ log: String) {
    // setpriv(1) becomes the program after it has asked to be killed when we die, however we do.
    let guardian = ["/usr/bin/setpriv", "--pdeathsig", "KILL"]
    let isGuarded = unsafe access(guardian[0], X_OK) == 0
    var pid: pid_t = 0
    let status = Self.spawn(isGuarded ? guardian + arguments : arguments, log, &pid)
    guard status == 0 else {
      let words = unsafe String(cString: strerror(status))
      return state.withLock { state in
        state.problem = "\(arguments[0]) cannot be started: \(words)"
        state.code = 127
      }
    }
    let child = pid
    state.withLock { $0.pid = child }
    var information = unsafe siginfo_t()
    // Not reaped yet: its number stays its own until `send` knows that it is gone.
    while unsafe waitid(P_PID, id_t(child), &information, WEXITED | WNOWAIT) == -1, errno == EINTR {}
    state.withLock { state in
      var status: Int32 = 0
      while unsafe waitpid(child, &status, 0) == -1, errno == EINTR {}
      state.pid = 0
      let signal = status & 0x7F
      state.code = signal == 0 ? (status >> 8) & 0xFF : 128 + signal
    }
  }

  private static func spawn(_ arguments: [String], _ log: String, _ pid: inout pid_t) -> Int32 {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    unsafe posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    // Our threads block signals, and the child would inherit that; Ctrl-C is ours to pass on.
    var none = sigset_t()
    unsafe sigemptyset(&none)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
    var words: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) }
    unsafe words.append(nil)
    defer {
      for index in unsafe words.indices { unsafe free(words[index]) }
    }
    return unsafe posix_spawn(&pid, arguments[0], &actions, &attributes, words, environ)
  }

  /// The program that runs here.
  static func ownPath() -> String {
    var bytes = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink("/proc/self/exe", &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
