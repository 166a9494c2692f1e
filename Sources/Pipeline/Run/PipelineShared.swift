internal import Synchronization

/// What the run and its observers share across threads: the status as last published, and why the run ends.
final class PipelineShared: Sendable {
  private struct State {
    var status = PipelineStatus()
    var delivery: DeliveryDecision?
    var error: PipelineError?
    var isDrained = false
  }

  private let state = Mutex(State())

  var status: PipelineStatus {
    state.withLock { state in
      var status = state.status
      status.delivery = state.delivery
      return status
    }
  }

  func decide(_ delivery: DeliveryDecision) { state.withLock { $0.delivery = delivery } }

  func publish(_ status: PipelineStatus) { state.withLock { $0.status = status } }

  func enter(_ phase: PipelineStatus.Phase) { state.withLock { $0.status.phase = phase } }

  /// The first error is the one that counts: what follows is its consequence.
  func fail(_ error: PipelineError) {
    state.withLock { state in
      if state.error == nil { state.error = error }
    }
  }

  var error: PipelineError? { state.withLock { $0.error } }

  /// Everything that was read is accounted for, and the group knows it.
  func noteDrained() { state.withLock { $0.isDrained = true } }

  var isDrained: Bool { state.withLock { $0.isDrained } }
}
