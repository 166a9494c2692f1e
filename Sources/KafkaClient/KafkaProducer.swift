/// Sends records: idempotent, every delivery reported. Good for dead letters, tools and tests.
public final class KafkaProducer: Sendable {
  /// Where a record ended up.
  public typealias Delivery = (partition: Int32, offset: Int64)
  public typealias Completion = @Sendable (Result<Delivery, KafkaError>) -> Void

  public let configuration: KafkaProducerConfiguration
  let core: ProducerCore

  /// Checks the configuration and starts the producer's thread; connects in the background.
  /// - Throws: `configuration`, naming the property and the value.
  public init(_ configuration: KafkaProducerConfiguration) throws(KafkaError) {
    self.configuration = configuration
    core = try ProducerCore(configuration)
  }

  /// Lets what is pending have a second, without waiting for it; `close` is the orderly end.
  deinit { core.abandon() }

  /// Queues a copy of the record and returns at once; `completion` comes exactly once, on the producer's thread, unless
  /// this throws.
  /// - Parameters:
  ///   - partition: nil: by the key's hash, at random without a key.
  ///   - value: nil makes a tombstone.
  ///   - timestampMilliseconds: since 1970-01-01 UTC; nil: now.
  /// - Throws: `queueFull` (retriable), `messageTooLarge`, `unknownTopicOrPartition`, `state` after `close`.
  public func send(
    topic: String, partition: Int32? = nil, key: [UInt8]? = nil, value: [UInt8]?, headers: [Record.Header] = [],
    timestampMilliseconds: Int64? = nil, completion: @escaping Completion
  ) throws(KafkaError) {
    try core.send(
      topic: topic, partition: partition, key: key, value: value, headers: headers,
      timestampMilliseconds: timestampMilliseconds, completion: completion)
  }

  /// Sends the record and waits until all in-sync replicas have it; where the local queue is full, waits for room first.
  ///
  /// What is queued is sent and its outcome told: cancelling the task ends the wait for room and no other. What bounds it is
  /// `deliveryTimeout`, or `close`.
  /// - Throws: as the other `send`, and what the delivery ended with; `queueFull` only where the task was cancelled.
  @discardableResult
  public func send(
    topic: String, partition: Int32? = nil, key: [UInt8]? = nil, value: [UInt8]?, headers: [Record.Header] = [],
    timestampMilliseconds: Int64? = nil
  ) async throws(KafkaError) -> Delivery {
    while true {
      let result: Result<Delivery, KafkaError> = await withCheckedContinuation { continuation in
        do throws(KafkaError) {
          try send(
            topic: topic, partition: partition, key: key, value: value, headers: headers,
            timestampMilliseconds: timestampMilliseconds
          ) { continuation.resume(returning: $0) }
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
      guard case .failure(let error) = result, error.code == .queueFull, !Task.isCancelled else {
        return try result.get()
      }
      await core.waitForRoom()
    }
  }

  /// Records that are queued or on their way.
  public var pendingCount: Int { core.pendingCount }

  /// Waits until everything sent so far is delivered or has failed, without lingering.
  /// - Throws: `timedOut`, with the number of records that are still pending. What failed is told to its own `send`.
  public func flush(within timeout: Duration) async throws(KafkaError) { try await core.flush(within: timeout) }

  /// Flushes, then ends the thread and the handle. What is pending at the deadline completes with an error.
  public func close(within timeout: Duration) async { await core.close(within: timeout) }
}
