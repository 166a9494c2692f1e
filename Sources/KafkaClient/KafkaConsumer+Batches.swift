extension KafkaConsumer {
  /// Calls `body` with each batch on the consumer's thread, and commits what it has returned from: at least once.
  ///
  /// Ends when the task is cancelled, with a last commit that is tried until `shutdownDeadline`, or with what `body`
  /// throws; the batch that it threw on is not committed, what was before it is. Brokers that cannot be reached and topics
  /// that are not there are waited for; the configuration's `logger` is told of them.
  /// - Parameters:
  ///   - topics: names, or regular expressions that begin with `^`.
  ///   - commitInterval: nil commits nothing.
  ///   - body: a call that takes longer than five minutes (`max.poll.interval.ms`) costs the partitions.
  /// - Throws: what `body` throws; `KafkaError` where consuming cannot go on (`offsetOutOfRange`, refused credentials, …),
  ///   or where the last commit failed.
  public func forEachBatch(
    from topics: [String], commitInterval: Duration? = .seconds(5),
    _ body: @escaping @Sendable (borrowing RecordBatch) throws -> Void
  ) async throws {
    let failure = RunFailure()
    let handler = BatchHandler(
      commitInterval: commitInterval, failure: failure, logger: configuration.logger, body: body)
    try await run(.topics(topics), handler)
    try failure.rethrow()
  }

  /// The topics' records, each with bytes of its own, in the order of each partition. Where the reader is slow,
  /// partitions pause; nothing blocks and the memory is bounded. What cannot be reached is waited for, as by `forEachBatch`.
  /// - Parameters:
  ///   - topics: names, or regular expressions that begin with `^`.
  ///   - bufferBytes: partitions pause when keys, values and headers that wait to be read are more than this.
  public func records(from topics: [String], bufferBytes: Int = 4 << 20) -> KafkaRecords {
    KafkaRecords(self, .topics(topics), bufferBytes: bufferBytes)
  }
}
