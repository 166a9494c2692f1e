@_exported public import SinkThreads

/// What a consumer does with what it gets. `KafkaConsumer.run` moves it onto the consumer's thread; every call comes on
/// that thread, never two at once, and nothing else runs there: a call that blocks stops the polling.
///
/// A call may do anything that `ConsumerControl` offers; an effect that calls the handler (a commit's answer, `lost`
/// after `renew`) comes in a later call, never from within.
public protocol ConsumerHandler: ~Copyable {
  /// Once, before anything else.
  mutating func started(_ control: borrowing ConsumerControl)

  /// At least one record, in the order of each partition. The batch and its views end with the call.
  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl)

  /// Given to us, not read from yet: call `control.assign` with an offset for each, now or later. Partitions that are
  /// never assigned are simply not read.
  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl)

  /// Asked back: finish, commit, then `control.unassign` all of them before the deadline. At the deadline the thread
  /// does it and calls `lost`. Records of these partitions may still come unless they are paused.
  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl)

  /// Gone already: another member may own them. No commit for them will be accepted.
  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl)

  /// The answer to a `control.commit`, exactly one for each.
  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl)

  mutating func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl)

  /// After every batch, wake-up and timeout; at least ten times a second.
  /// - Returns: when to be called again at the latest; nil where nothing is due.
  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant?

  /// The run was cancelled, or `control.stop()` was called: drain, commit, then `control.finish()`. At the deadline the
  /// thread closes anyway. Records go on coming until then unless they are paused.
  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl)
}

extension ConsumerHandler where Self: ~Copyable {
  public mutating func started(_ control: borrowing ConsumerControl) {}
  public mutating func event(_ event: ConsumerEvent, _ control: borrowing ConsumerControl) {}
  public mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? { nil }
}
