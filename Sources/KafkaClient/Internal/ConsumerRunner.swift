internal import SinkThreads
internal import Synchronization

/// What other threads say to a run.
final class RunSignals: Sendable {
  let door = WakeDoor()
  private let isStopWanted = Atomic<Bool>(false)

  var wantsStop: Bool { isStopWanted.load(ordering: .sequentiallyConsistent) }

  func requestStop() {
    isStopWanted.store(true, ordering: .sequentiallyConsistent)
    door.wake()
  }
}

/// Starts the thread of a run, one at a time, and waits for its end.
final class ConsumerRunner: Sendable {
  private let configuration: KafkaConsumerConfiguration
  private let clock: TimeSource
  private let active = Mutex<RunSignals?>(nil)

  init(_ configuration: KafkaConsumerConfiguration, clock: TimeSource = .system) throws(KafkaError) {
    self.configuration = configuration
    self.clock = clock
    _ = try NativeConfiguration(PropertyTable.consumer(configuration))
  }

  func wake() { active.withLock { $0 }?.door.wake() }

  func run<Handler: ConsumerHandler & ~Copyable & Sendable>(
    _ subscription: KafkaSubscription, _ handler: consuming Handler
  ) async throws {
    let signals = RunSignals()
    let isFirst = active.withLock { active in
      guard active == nil else { return false }
      active = signals
      return true
    }
    guard isFirst else {
      throw KafkaError.state("this consumer of group \(configuration.group) has an active run: one at a time")
    }
    defer { active.withLock { $0 = nil } }
    let end = OneShot<KafkaError?>()
    let parcel = Parcel(handler)
    let (configuration, clock) = (self.configuration, self.clock)
    let thread = NamedThread(name: "kafka-consumer") {
      do throws(KafkaError) {
        let core = try ConsumerCore(configuration, subscription, signals, clock)
        let loop = ConsumerLoop(core, signals)
        end.resolve(loop.run(parcel.take()))
      } catch {
        end.resolve(error)
      }
    }
    let error = await withTaskCancellationHandler {
      await end.value
    } onCancel: {
      signals.requestStop()
    }
    // Its last act was to resolve `end`: this does not wait for anything else.
    thread.join()
    if let error { throw error }
  }
}

/// Carries a value that cannot be copied into the closure of a thread.
final class Parcel<Content: ~Copyable & Sendable>: Sendable {
  private let content: Mutex<Content?>

  init(_ content: consuming Content) { self.content = Mutex(content) }

  func take() -> Content {
    content.withLock { content in
      guard let taken = content.take() else { preconditionFailure("a parcel is taken once") }
      return taken
    }
  }
}

/// A value that one thread gives once and one task waits for.
final class OneShot<Value: Sendable>: Sendable {
  private enum State {
    case empty
    case waiting(CheckedContinuation<Value, Never>)
    case full(Value)
  }

  private let state = Mutex(State.empty)

  func resolve(_ value: Value) {
    let waiter: CheckedContinuation<Value, Never>? = state.withLock { state in
      switch state {
      case .waiting(let continuation):
        state = .full(value)
        return continuation
      case .empty:
        state = .full(value)
        return nil
      case .full: return nil
      }
    }
    waiter?.resume(returning: value)
  }

  var value: Value {
    get async {
      await withCheckedContinuation { continuation in
        let ready: Value? = state.withLock { state in
          if case .full(let value) = state { return value }
          state = .waiting(continuation)
          return nil
        }
        if let ready { continuation.resume(returning: ready) }
      }
    }
  }
}
