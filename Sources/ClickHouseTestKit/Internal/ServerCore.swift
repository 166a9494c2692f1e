internal import Glibc
internal import SinkThreads
internal import Synchronization

/// The server's threads and what they share: one that accepts, and one for each connection.
final class ServerCore: Sendable {
  private struct State {
    var requests: [ReceivedRequest] = []
    var insertCount = 0
    var connectionCount = 0
    var openCount = 0
    var accepting: JoinableThread?
    var connections: [Int: JoinableThread] = [:]
    /// Threads that end without another look at the state.
    var finished: [JoinableThread] = []
  }

  static let connectionLimit = 256

  let script: ServerScript
  let tables: [ScriptedTable]
  let upstream: UpstreamAddress?
  let keepsBodies: Bool
  let patience: Duration
  /// Open when the server stops: everything that waits watches it.
  let stopSignal = ServerGate()
  private let listener: ListeningSocket
  private let state = Mutex(State())

  init(
    listener: ListeningSocket, script: ServerScript, tables: [ScriptedTable], upstream: UpstreamAddress?,
    keepsBodies: Bool, patience: Duration
  ) {
    self.listener = listener
    self.script = script
    self.tables = tables
    self.upstream = upstream
    self.keepsBodies = keepsBodies
    self.patience = patience
  }

  var requests: [ReceivedRequest] { state.withLock { $0.requests } }
  var connectionCount: Int { state.withLock { $0.connectionCount } }
  var openConnectionCount: Int { state.withLock { $0.openCount } }

  func begin() {
    let thread = JoinableThread(name: "kit-accept") { self.acceptAll() }
    state.withLock { $0.accepting = thread }
  }

  func stop() {
    stopSignal.open()
    // First the one that makes more of them.
    state.withLock { $0.accepting.take() }?.join()
    let threads = state.withLock { state in
      defer { (state.connections, state.finished) = ([:], []) }
      return Array(state.connections.values) + state.finished
    }
    for thread in threads { thread.join() }
  }

  private func acceptAll() {
    while true {
      var list = [
        pollfd(fd: stopSignal.descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      guard unsafe poll(&list, 2, -1) > 0 else { continue }
      if list[0].revents != 0 { return }
      guard let descriptor = listener.accept() else { continue }
      take(descriptor)
    }
  }

  private func take(_ descriptor: Int32) {
    let number = state.withLock { state -> Int? in
      guard state.openCount < Self.connectionLimit else { return nil }
      state.connectionCount += 1
      state.openCount += 1
      return state.connectionCount - 1
    }
    guard let number else {
      Glibc.close(descriptor)
      return
    }
    state.withLock { state in
      // Made under the lock: it may end before it is in the list otherwise.
      state.connections[number] = JoinableThread(name: "kit-\(number)") {
        var loop = ConnectionLoop(
          core: self, number: number,
          stream: SocketStream(descriptor, stopping: self.stopSignal.descriptor, patience: self.patience))
        loop.run()
        self.finish(number)
      }
    }
    let finished = state.withLock { state in
      defer { state.finished = [] }
      return state.finished
    }
    for thread in finished { thread.join() }
  }

  private func finish(_ number: Int) {
    state.withLock { state in
      state.openCount -= 1
      if let thread = state.connections.removeValue(forKey: number) { state.finished.append(thread) }
    }
  }

  /// Notes a request whose head has come.
  func record(_ head: RequestReader.Head, connection: Int) -> (request: ReceivedRequest, insertIndex: Int?) {
    state.withLock { state in
      let request = ReceivedRequest(
        index: state.requests.count, connection: connection, method: head.method, target: head.target,
        headers: head.headers, parameters: parameters(of: head.target))
      state.requests.append(request)
      guard request.isInsert else { return (request, nil) }
      state.insertCount += 1
      return (request, state.insertCount - 1)
    }
  }

  func update(_ request: ReceivedRequest) {
    state.withLock { $0.requests[request.index] = request }
  }
}

/// A thread that one caller joins, once.
final class JoinableThread: Sendable {
  private let thread: Mutex<NamedThread?>

  init(name: String, _ body: @escaping @Sendable () -> Void) {
    thread = Mutex(NamedThread(name: name, body))
  }

  func join() {
    guard let thread = thread.withLock({ $0.take() }) else { return }
    thread.join()
  }
}
