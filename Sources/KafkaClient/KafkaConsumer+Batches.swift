extension KafkaConsumer {
  /// Calls `body` with each batch on the consumer's thread, and commits what it has returned from: at least once.
  ///
  /// Ends when the task is cancelled, with a last commit that is tried until `shutdownDeadline`, or with what `body`
  /// throws; the batch that it threw on is not committed.
  /// - Parameter commitInterval: nil commits nothing.
  /// - Throws: what `body` throws; `KafkaError` where consuming cannot go on, or where the last commit failed.
  public func forEachBatch(
    from topics: [String], commitInterval: Duration? = .seconds(5),
    _ body: @escaping @Sendable (borrowing RecordBatch) throws -> Void
  ) async throws {
    let failure = RunFailure()
    try await run(.topics(topics), BatchHandler(commitInterval: commitInterval, failure: failure, body: body))
    try failure.rethrow()
  }

  /// The topics' records, each with bytes of its own, in the order of each partition. Where the reader is slow,
  /// partitions pause; nothing blocks and the memory is bounded.
  /// - Parameter bufferBytes: partitions pause when keys, values and headers that wait to be read are more than this.
  public func records(from topics: [String], bufferBytes: Int = 4 << 20) -> KafkaRecords {
    KafkaRecords(self, .topics(topics), bufferBytes: bufferBytes)
  }
}
