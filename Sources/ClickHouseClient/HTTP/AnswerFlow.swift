internal import SinkBytes
internal import Synchronization

/// The bytes of an answer on their way from the curl thread to a reader's task: bounded, with the rest kept in the
/// socket.
final class AnswerFlow: Sendable {
  private struct State: ~Copyable {
    var bytes = ByteBuffer()
    var response: HTTPResponse?
    /// A piece was refused, and is offered again after `resume`.
    var isPaused = false
    var waiter: CheckedContinuation<Void, Never>?
    var wantedBytes = 1
  }

  struct Taken: ~Copyable {
    var bytes: ByteBuffer
    /// Set when these are the last bytes.
    let response: HTTPResponse?
    /// The transfer waits to be resumed.
    let wasPaused: Bool
  }

  static let limitBytes = 1 << 20

  private let state = Mutex(State())

  /// On the curl thread.
  /// - Returns: false where there is no room for now.
  func offer(_ piece: RawSpan) -> Bool {
    let (isTaken, waiter) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
      // What a reader waits for may be more than the limit, by as much as it holds already.
      guard state.bytes.count < max(Self.limitBytes, state.wantedBytes) else {
        state.isPaused = true
        return (false, state.waiter.take())
      }
      state.bytes.append(piece)
      return (true, state.bytes.count >= state.wantedBytes ? state.waiter.take() : nil)
    }
    waiter?.resume()
    return isTaken
  }

  func finish(_ response: HTTPResponse) {
    let waiter = state.withLock { state in
      state.response = response
      return state.waiter.take()
    }
    waiter?.resume()
  }

  /// Waits for so many bytes, for the end, or until no more are taken before these are.
  func wait(forBytes count: Int) async {
    await withCheckedContinuation { continuation in
      let isReady = state.withLock { state in
        state.wantedBytes = count
        if state.bytes.count >= count || state.response != nil || state.isPaused { return true }
        state.waiter = continuation
        return false
      }
      if isReady { continuation.resume() }
    }
  }

  /// Everything that has come.
  func takeAll() -> Taken {
    state.withLock { state in
      var bytes = ByteBuffer()
      swap(&bytes, &state.bytes)
      let wasPaused = state.isPaused
      state.isPaused = false
      return Taken(bytes: bytes, response: state.response, wasPaused: wasPaused)
    }
  }
}
