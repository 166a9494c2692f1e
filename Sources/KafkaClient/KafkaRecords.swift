/// Records as an asynchronous sequence, for one reader: `for try await record in consumer.records(from: ["events"])`.
///
/// Nothing is committed by itself: call `commit` after what a record means is done.
public struct KafkaRecords: AsyncSequence, Sendable {
  public typealias Element = Record

  let flow: RecordFlow

  init(_ consumer: KafkaConsumer, _ subscription: KafkaSubscription, bufferBytes: Int) {
    flow = RecordFlow(consumer, subscription, bufferBytes: bufferBytes)
  }

  /// Starts the consumer at its first `next`, and ends it when the task is cancelled or the iterator goes away.
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
    private var chunk: ArraySlice<Record> = []

    init(_ flow: RecordFlow) { self.flow = flow }

    deinit { flow.stop() }

    /// nil after cancellation.
    public func next() async throws -> Record? {
      if chunk.isEmpty { chunk = try await flow.nextChunk()[...] }
      return chunk.popFirst()
    }
  }
}
