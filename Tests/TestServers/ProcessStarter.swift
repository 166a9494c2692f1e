public import Foundation
import Glibc
import Synchronization

extension Process {
  /// Starts a program that ends with the tests, however they end: it hears SIGTERM then.
  /// - Parameter bound: timeout(1)'s options and seconds, for tests that hang.
  public func run(_ program: [String], bound: [String]) throws {
    // Both go on in the same process: what is started is timeout, with the program as its child.
    executableURL = URL(filePath: "/usr/bin/setpriv")
    arguments = ["--pdeathsig", "TERM", "/usr/bin/timeout", "-k", "5"] + bound + program
    try ProcessStarter.shared.start(self)
  }
}

/// A thread that lives as long as the tests, and these no longer than who started them: the signal of a parent's death
/// tells of the thread that made the child, and those of Swift's pool come and go.
private final class ProcessStarter: Sendable {
  static let shared = ProcessStarter()

  private let jobs = Mutex<[@Sendable () -> Void]>([])
  private let wake = DispatchSemaphore(value: 0)

  private init() {
    Thread.detachNewThread {
      // A child inherits its maker's mask, and the threads of Swift's pool block everything: it would not hear SIGTERM.
      var none = sigset_t()
      unsafe sigemptyset(&none)
      unsafe pthread_sigmask(SIG_SETMASK, &none, nil)
      let parent = getppid()
      while true {
        if self.wake.wait(timeout: .now() + 1) == .success { self.jobs.withLock { $0.removeFirst() }() }
        // Of `swift test`, which leaves the tests behind where it is ended.
        if getppid() != parent { _exit(1) }
      }
    }
  }

  func start(_ process: Process) throws {
    let done = DispatchSemaphore(value: 0)
    let problem = Mutex<(any Error)?>(nil)
    jobs.withLock { jobs in
      jobs.append {
        do { try process.run() } catch { problem.withLock { $0 = error } }
        done.signal()
      }
    }
    wake.signal()
    done.wait()
    if let problem = problem.withLock({ $0 }) { throw problem }
  }
}
