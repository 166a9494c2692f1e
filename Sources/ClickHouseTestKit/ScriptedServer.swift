internal import SinkThreads
internal import Synchronization

/// A server on loopback that speaks HTTP over plain sockets, takes what ClickHouse takes, and fails as it is told:
/// resets, stalls, drips, half answers, errors in every form that ClickHouse and what stands before it have.
///
/// ```swift
/// let server = try ScriptedServer(ServerScript([.resetAfterBody, .refuse(252), .accept]))
/// defer { server.stop() }
/// // … a client inserts into server.url …
/// #expect(server.inserts.count == 3)
/// #expect(try server.inserts[2].rows() == [[.uint(7), "ada"]])
/// ```
///
/// It can stand before a real server too: with `forwardingTo`, a fault happens before the real insert
/// (`.resetInBody(afterBytes: 100)`) or after it (`.forwardThenReset`).
///
/// Questions (what is no insert) are forwarded where there is a real server. Else those that `ClickHouseClient` and
/// `Pipeline` ask at start are answered from `tables`, and all others with an empty 200. As an HTTP proxy it takes
/// `CONNECT` and absolute URLs.
///
/// Bounds: a body of 256 MiB, 256 connections at once, and `patience` for a silent peer.
public final class ScriptedServer: Sendable {
  /// `http://127.0.0.1:port`
  public let url: String
  public let port: Int
  private let core: ServerCore

  /// Listens at a free port; ready when this returns.
  /// - Parameters:
  ///   - forwardingTo: the `http://host:port` of a real server.
  ///   - keepsBodies: false where bodies are large and nobody looks at them.
  ///   - receiveBufferBytes: of the kernel, for each connection: small ones let a body that is not read stall its
  ///     sender soon.
  ///   - isMute: connections stand (the kernel takes them), and nobody ever reads or writes.
  ///   - patience: how long the server waits for a peer, in anything.
  /// - Throws: `ScriptedServerError` where no socket can be had, or the URL is none.
  public init(
    _ script: ServerScript = ServerScript(), tables: [ScriptedTable] = [], forwardingTo upstream: String? = nil,
    keepsBodies: Bool = true, receiveBufferBytes: Int? = nil, isMute: Bool = false,
    patience: Duration = .seconds(60)
  ) throws(ScriptedServerError) {
    let listener = try ListeningSocket(receiveBufferBytes: receiveBufferBytes)
    let upstream: UpstreamAddress? = if let upstream { try UpstreamAddress(upstream) } else { nil }
    port = listener.port
    url = "http://127.0.0.1:\(listener.port)"
    core = ServerCore(
      listener: listener, script: script, tables: tables, upstream: upstream, keepsBodies: keepsBodies,
      patience: patience)
    if !isMute { core.begin() }
  }

  deinit { stop() }

  /// Everything that came so far, in order of arrival.
  public var requests: [ReceivedRequest] { core.requests }
  /// The inserts among them.
  public var inserts: [ReceivedRequest] { requests.filter(\.isInsert) }
  /// Connections taken so far.
  public var connectionCount: Int { core.connectionCount }
  /// Connections that stand now.
  public var openConnectionCount: Int { core.openConnectionCount }

  /// Waits until so many inserts have come, heads at least.
  /// - Returns: whether they came before the time was over.
  public func waitForInserts(_ count: Int, within timeout: Duration = .seconds(120)) async -> Bool {
    let deadline = ContinuousClock.now + timeout
    while inserts.count < count {
      guard ContinuousClock.now < deadline, !Task.isCancelled else { return false }
      try? await Task.sleep(for: .milliseconds(2))
    }
    return true
  }

  /// Ends all connections and threads, and waits for them, which takes milliseconds: everything that waits here wakes.
  public func stop() { core.stop() }
}

/// A table that the server claims to have.
public struct ScriptedTable: Sendable {
  public let name: String
  public let columns: [(name: String, type: String)]

  public init(_ name: String, columns: [(name: String, type: String)]) {
    self.name = name
    self.columns = columns
  }
}

public struct ScriptedServerError: Error, Sendable, CustomStringConvertible {
  public let description: String
}
