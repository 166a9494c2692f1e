internal import SinkThreads

/// The consumer's thread: poll, hand over, tell, tick, until it is done.
struct ConsumerLoop {
  /// The longest wait without looking around.
  private static let waitMax = Duration.milliseconds(100)

  private let core: ConsumerCore
  private let signals: RunSignals

  init(_ core: ConsumerCore, _ signals: RunSignals) {
    self.core = core
    self.signals = signals
  }

  /// - Returns: why it ended, nil for an orderly end.
  func run<Handler: ConsumerHandler & ~Copyable>(_ handler: consuming Handler) -> KafkaError? {
    let control = ConsumerControl(core)
    var handler = handler
    do throws(KafkaError) {
      handler.started(control)
      try core.start()
      try turn(&handler, control)
      core.close()
      deliver(to: &handler, control)
      return nil
    } catch {
      core.abandon()
      deliver(to: &handler, control)
      core.close()
      return error
    }
  }

  private func turn<Handler: ConsumerHandler & ~Copyable>(
    _ handler: inout Handler, _ control: borrowing ConsumerControl
  ) throws(KafkaError) {
    var stopDeadline: MonotonicInstant?
    var nextTick: MonotonicInstant?
    while true {
      let count = core.poll(wait: wait(nextTick, stopDeadline))
      if count > 0 { core.withBatch(count) { handler.records($0, control) } }
      core.serveTime()
      deliver(to: &handler, control)
      if signals.wantsStop, stopDeadline == nil {
        let deadline = core.now + core.configuration.shutdownDeadline
        stopDeadline = deadline
        handler.stopping(deadline: deadline, control)
      }
      _ = signals.door.takeWish()
      nextTick = handler.tick(core.now, control)
      core.serveTime()
      if core.wantsRenewal { try core.performRenewal() }
      if let error = core.fatalError { throw error }
      if core.isFinished { return }
      if let deadline = stopDeadline, deadline <= core.now { return }
    }
  }

  /// A fatal error is told like everything else; `turn` then looks whether the handler renewed.
  private func deliver<Handler: ConsumerHandler & ~Copyable>(
    to handler: inout Handler, _ control: borrowing ConsumerControl
  ) {
    while let delivery = core.nextDelivery() {
      switch delivery {
      case .assigned(let partitions): handler.assigned(partitions, control)
      case .revoked(let partitions, let deadline): handler.revoked(partitions, deadline: deadline, control)
      case .lost(let partitions): handler.lost(partitions, control)
      case .committed(let commit, let result): handler.committed(commit, result, control)
      case .event(let event): handler.event(event, control)
      }
    }
  }

  private func wait(_ nextTick: MonotonicInstant?, _ stopDeadline: MonotonicInstant?) -> Duration {
    guard !core.hasDeliveries else { return .zero }
    let now = core.now
    var wait = Self.waitMax
    for due in [nextTick, stopDeadline, core.nextDeadline] {
      if let due { wait = min(wait, due - now) }
    }
    return max(wait, .zero)
  }
}
