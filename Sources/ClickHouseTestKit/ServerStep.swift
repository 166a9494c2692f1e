/// What the server does with one request, action by action, once its head has been read.
///
/// Named steps cover the usual; `ServerStep([…])` says anything else. When the actions end, the connection is kept for
/// the next request, unless the answer says otherwise or the body was not read to its end.
public struct ServerStep: Sendable {
  public enum Action: Sendable {
    /// Reads the request's body to its end; answers `Expect: 100-continue` first.
    case readBody
    /// Reads at least so many bytes of the body, or all where it is shorter.
    case readBodyBytes(Int)
    /// Reads the body to its end, so many bytes at a time with a pause after each.
    case readBodySlowly(bytes: Int, every: Duration)
    /// Sends `100 Continue`, whether or not it was asked for.
    case sendContinue
    case wait(Duration)
    /// Goes on when the gate is open.
    case hold(ServerGate)
    case send(ServerAnswer)
    /// Sends the first bytes of an answer, head included.
    case sendPart(ServerAnswer, bytes: Int)
    /// Sends an answer in pieces with a pause after each.
    case sendSlowly(ServerAnswer, bytes: Int, every: Duration)
    /// Passes the request on to the real server and keeps its answer.
    case forward
    /// Sends what the real server answered.
    case relay
    /// The same in pieces, with a pause after each.
    case relaySlowly(bytes: Int, every: Duration)
    /// As an HTTP proxy does with `CONNECT`: connects to the named host and passes bytes on, both ways, to the end.
    case tunnel
    /// Ends the connection with RST: what is on its way in either direction is lost.
    case reset
    /// Ends the connection with FIN.
    case close
    /// Neither reads nor answers until the peer gives up or the server stops.
    case stall
  }

  public var actions: [Action]

  public init(_ actions: [Action]) { self.actions = actions }

  /// Reads the body and says that it is stored.
  public static var accept: ServerStep { .answer(.ok) }
  /// Reads the body and answers.
  public static func answer(_ answer: ServerAnswer) -> ServerStep { ServerStep([.readBody, .send(answer)]) }
  /// Reads the body and answers with an error of ClickHouse's.
  public static func refuse(_ code: Int, status: Int = 500) -> ServerStep {
    .answer(.exception(code, status: status))
  }

  public static var resetBeforeBody: ServerStep { ServerStep([.reset]) }
  public static func resetInBody(afterBytes bytes: Int) -> ServerStep { ServerStep([.readBodyBytes(bytes), .reset]) }
  /// Nothing is answered: whether the insert landed, nobody knows.
  public static var resetAfterBody: ServerStep { ServerStep([.readBody, .reset]) }
  /// The same with an orderly end. On a reused connection libcurl by itself would send the POST again.
  public static var closeAfterBody: ServerStep { ServerStep([.readBody, .close]) }
  public static func resetInAnswer(_ answer: ServerAnswer = .ok, afterBytes bytes: Int) -> ServerStep {
    ServerStep([.readBody, .sendPart(answer, bytes: bytes), .reset])
  }

  /// Never reads the body.
  public static var stallBeforeBody: ServerStep { ServerStep([.stall]) }
  /// Never answers.
  public static var stallAfterBody: ServerStep { ServerStep([.readBody, .stall]) }
  /// Answers when the gate is open.
  public static func hold(_ gate: ServerGate, then answer: ServerAnswer = .ok) -> ServerStep {
    ServerStep([.readBody, .hold(gate), .send(answer)])
  }

  /// Passes the request on to the real server, and its answer back.
  public static var forward: ServerStep { ServerStep([.readBody, .forward, .relay]) }
  /// The real server acts on the request, and nobody hears of it.
  public static var forwardThenReset: ServerStep { ServerStep([.readBody, .forward, .reset]) }
  public static var tunnel: ServerStep { ServerStep([.tunnel]) }
}
