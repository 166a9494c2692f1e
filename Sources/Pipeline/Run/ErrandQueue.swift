internal import Synchronization

/// Work beside the pipeline's threads, for a task that exists only while there is some.
final class ErrandQueue<Errand: Sendable>: Sendable {
  private struct State {
    var waiting: [Errand] = []
    var task: Task<Void, Never>?
    var isClosed = false
  }

  private let limit: Int
  private let state = Mutex(State())

  /// - Parameter limit: one that comes while so many wait is dropped.
  init(limit: Int = .max) { self.limit = limit }

  /// From any thread.
  /// - Parameter serve: the task, where none is there: takes until nothing is left.
  func add(_ errand: Errand, serve: @escaping @Sendable () async -> Void) {
    state.withLock { state in
      guard !state.isClosed, state.waiting.count < limit else { return }
      state.waiting.append(errand)
      if state.task == nil { state.task = Task.detached { await serve() } }
    }
  }

  /// - Parameter pick: removes what it takes; asked where something waits.
  /// - Returns: nil where nothing waits or it is closed: the task ends then, in the same moment as far as `add` can tell.
  func take<Taken>(_ pick: (inout [Errand]) -> Taken) -> Taken? {
    state.withLock { state in
      guard !state.isClosed, !state.waiting.isEmpty else {
        state.task = nil
        return nil
      }
      return pick(&state.waiting)
    }
  }

  /// Cancels what is under way and waits for its end; what waits is dropped.
  func close() async {
    let task = state.withLock { state in
      state.isClosed = true
      state.waiting = []
      return state.task
    }
    task?.cancel()
    await task?.value
  }
}
