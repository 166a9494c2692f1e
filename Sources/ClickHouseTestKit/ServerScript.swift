/// Chooses what happens to each request.
public struct ServerScript: Sendable {
  let choose: @Sendable (_ request: ReceivedRequest, _ insertIndex: Int?) -> ServerStep?

  /// One step for each insert, in the order in which they come, whatever connection they come by; `afterwards` for those
  /// that follow. Requests that are no inserts are answered as `ScriptedServer` says.
  public init(_ steps: [ServerStep] = [], afterwards: ServerStep = .accept) {
    choose = { _, index in index.map { $0 < steps.count ? steps[$0] : afterwards } }
  }

  /// Asks a function, on the connection's thread, with the request's head: the body is not there yet. `nil` leaves the
  /// request to the server: inserts are accepted or forwarded, questions answered as `ScriptedServer` says.
  /// `insertIndex` counts the inserts before this one; it is `nil` for what is no insert.
  public init(choosing choose: @escaping @Sendable (_ request: ReceivedRequest, _ insertIndex: Int?) -> ServerStep?) {
    self.choose = choose
  }
}
