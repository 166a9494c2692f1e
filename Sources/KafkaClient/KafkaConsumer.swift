/// A member of a consumer group: one thread of its own owns the native handle and runs a ``ConsumerHandler`` on it.
///
/// Three ways to use it, one active at a time: `run` with a handler, `forEachBatch`, `records`.
public final class KafkaConsumer: Sendable {
  public let configuration: KafkaConsumerConfiguration
  let runner: ConsumerRunner

  /// Checks the configuration, also with librdkafka; connects to nothing.
  /// - Throws: `configuration`, naming the property and the value.
  public init(_ configuration: KafkaConsumerConfiguration) throws(KafkaError) {
    self.configuration = configuration
    runner = try ConsumerRunner(configuration)
  }

  /// Moves the handler onto the consumer's thread and returns when it has finished: after cancellation of the task or
  /// `control.stop()`, by way of `stopping`, within `shutdownDeadline` and `closeDeadline`. It may be called again then.
  ///
  /// Brokers that cannot be reached and topics that are not there are waited for, without end: the handler hears of them by
  /// `event`, and decides.
  /// - Throws: `KafkaError`: `state` where a run is active already, `invalidArgument` where the subscription is empty,
  ///   `configuration` where a file cannot be read, else what made the handle useless.
  public func run<Handler: ConsumerHandler & ~Copyable & Sendable>(
    _ subscription: KafkaSubscription, _ handler: consuming Handler
  ) async throws {
    try await runner.run(subscription, handler)
  }

  /// From any thread: the handler's next `tick` comes at once. Without an active run nothing happens.
  public func wake() { runner.wake() }
}
