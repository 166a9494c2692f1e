/// Records as an asynchronous sequence, for one loop: `for try await record in consumer.records(from: ["events"])`.
///
/// Nothing is committed by itself: call `commit` after what a record means is done. A second loop throws `state`: records
/// that the first had fetched would be missing from it. Ask the consumer for other records, after `close`.
public struct KafkaRecords: AsyncSequence, Sendable {
  public typealias Element = Record

  let flow: RecordFlow

  init(_ consumer: KafkaConsumer, _ subscription: KafkaSubscription, bufferBytes: Int) {
    flow = RecordFlow(consumer, subscription, bufferBytes: bufferBytes)
  }

  /// Starts the consumer at its first `next`, and ends it when the task is cancelled or the iterator goes away; commits
  /// that were asked for by then are still waited for.
  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(flow) }

  /// Commits the offset after this record, for its partition, and waits for the answer.
  /// - Throws: what refused it, or `timedOut` where the outcome is unknown.
  public func commit(
    _ record: Record, metadata: String = "", within timeout: Duration = .seconds(5)
  ) async throws(KafkaError) {
    try await commit(
      [CommittedOffset(record.topicPartition, offset: record.offset + 1, metadata: metadata)], within: timeout)
  }

  /// Commits these offsets (the next record to read) and waits for the answer.
  /// - Throws: `state` where nothing is being read, `assignmentLost` for partitions that are another member's, and as the
  ///   other `commit`.
  public func commit(_ offsets: [CommittedOffset], within timeout: Duration = .seconds(5)) async throws(KafkaError) {
    switch await flow.commit(offsets, within: timeout) {
    case .known: return
    case .refused(let error, _), .unknown(let error): throw error
    }
  }

  /// Asks for the commit and does not wait: an error is logged.
  public func commitLater(_ offsets: [CommittedOffset]) { flow.commitLater(offsets) }

  /// Ends reading and waits until the consumer has left: only then can it be run again.
  public func close() async { await flow.close() }

  public final class AsyncIterator: AsyncIteratorProtocol {
    private let flow: RecordFlow
    private let isOnly: Bool
    private var chunk: ArraySlice<Record> = []

    init(_ flow: RecordFlow) {
      self.flow = flow
      isOnly = flow.take()
    }

    deinit { if isOnly { flow.stop() } }

    /// nil after cancellation.
    /// - Throws: `KafkaError`: `state` in a second loop, or where the consumer has an active run; else what made reading
    ///   impossible.
    public func next() async throws -> Record? {
      guard isOnly else { throw KafkaError.state("these records were read by another loop: call records(from:) again") }
      if chunk.isEmpty { chunk = try await flow.nextChunk()[...] }
      return chunk.popFirst()
    }
  }
}
