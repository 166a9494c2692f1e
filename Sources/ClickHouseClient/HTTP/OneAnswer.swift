internal import Synchronization

/// Hands one response from the curl thread to one task, whichever comes first.
final class OneAnswer: Sendable {
  private enum State {
    case empty
    case waited(CheckedContinuation<HTTPResponse, Never>)
    case given(HTTPResponse)
  }

  private let state = Mutex(State.empty)

  func give(_ response: HTTPResponse) {
    let waiter = state.withLock { state -> CheckedContinuation<HTTPResponse, Never>? in
      if case .waited(let continuation) = state { return continuation }
      state = .given(response)
      return nil
    }
    waiter?.resume(returning: response)
  }

  func take() async -> HTTPResponse {
    await withCheckedContinuation { continuation in
      let response = state.withLock { state -> HTTPResponse? in
        if case .given(let response) = state { return response }
        state = .waited(continuation)
        return nil
      }
      if let response { continuation.resume(returning: response) }
    }
  }
}
