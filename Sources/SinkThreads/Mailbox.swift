internal import Synchronization

/// Messages for one thread that serves them in order. Posting never blocks; what bounds it is the sender's own budget.
///
/// The receiver sleeps elsewhere (in librdkafka's or libcurl's wait), so posting runs `wake`, set once by the receiver.
package final class Mailbox<Message: Sendable>: Sendable {
  private struct State {
    var messages: [Message] = []
    var isClosed = false
  }

  private let state = Mutex(State())
  private let wake: @Sendable () -> Void

  package init(wake: @escaping @Sendable () -> Void = {}) { self.wake = wake }

  /// - Returns: false once the mailbox is closed: nobody will ever read the message.
  @discardableResult
  package func post(_ message: Message) -> Bool {
    let accepted = state.withLock { state in
      guard !state.isClosed else { return false }
      state.messages.append(message)
      return true
    }
    if accepted { wake() }
    return accepted
  }

  /// Everything posted so far, oldest first.
  package func takeAll() -> [Message] {
    state.withLock { state in
      guard !state.messages.isEmpty else { return [] }
      let taken = state.messages
      state.messages = []
      return taken
    }
  }

  /// Refuses what comes from now on and hands back what nobody has read.
  package func close() -> [Message] {
    state.withLock { state in
      state.isClosed = true
      let taken = state.messages
      state.messages = []
      return taken
    }
  }
}
