public import SinkThreads

/// What a handler may do, on the consumer's thread: it is lent to each call and cannot be kept.
public struct ConsumerControl: ~Copyable {
  let core: ConsumerCore

  init(_ core: ConsumerCore) { self.core = core }

  /// The thread's clock.
  public var now: MonotonicInstant { core.now }

  /// What we read (paused partitions too), in no order.
  public var assignment: [TopicPartition] { core.assignment }

  /// The name that the group's coordinator gave this member; empty before the first join.
  public var memberID: String { core.memberID }

  /// The group's generation as this member knows it; -1 before the first join.
  public var generation: Int32 { core.generation }

  /// Starts reading partitions that `assigned` brought, each at an explicit offset; the others stay offered.
  public func assign(_ partitions: [(TopicPartition, offset: Int64)]) throws(KafkaError) {
    try core.assign(partitions)
  }

  /// Ends reading. Partitions that were asked back go back to the group together, once the last of them is unassigned.
  public func unassign(_ partitions: [TopicPartition]) throws(KafkaError) { try core.unassign(partitions) }

  /// Stops fetching. What librdkafka has queued of them is dropped and fetched again after `resume`.
  public func pause(_ partitions: [TopicPartition]) throws(KafkaError) { try core.pause(partitions) }

  public func resume(_ partitions: [TopicPartition]) throws(KafkaError) { try core.resume(partitions) }

  /// The next record of the partition is the first one at or after `offset`; also revives one whose offset was out of
  /// range.
  public func seek(_ partition: TopicPartition, to offset: Int64) throws(KafkaError) {
    try core.seek(partition, to: offset)
  }

  /// Asks the group to keep these offsets, all in one request. The answer comes to `committed`, by `deadline` at the
  /// latest. One request is out at a time; later ones wait their turn, and while this member is joining the group.
  /// - Parameter offsets: `offset` is the next record to read and must not be nil; metadata is printable ASCII.
  public func commit(_ offsets: [CommittedOffset], deadline: MonotonicInstant) -> CommitID {
    core.commit(offsets, deadline: deadline)
  }

  /// What the group has. Blocks the consumer's thread, at most for `timeout`.
  public func committedOffsets(
    _ partitions: [TopicPartition], timeout: Duration
  ) throws(KafkaError) -> [CommittedOffset] {
    try core.committedOffsets(partitions, timeout: timeout)
  }

  /// The ids of these topics, asked from the controller. Blocks at most for `timeout`.
  /// - Returns: nothing for topics that are not there and from brokers before 2.8, which give topics no ids; nil where
  ///   librdkafka cannot ask (before 2.3).
  public func topicIDs(_ topics: [String], timeout: Duration) throws(KafkaError) -> [String: TopicID]? {
    try core.topicIDs(topics, timeout: timeout)
  }

  /// The first offset that the partition still has and the one after the last, asked from its leader; with
  /// `readCommitted` the end is the last stable offset. Blocks at most for `timeout`.
  public func watermarks(
    _ partition: TopicPartition, timeout: Duration
  ) throws(KafkaError) -> (low: Int64, high: Int64) {
    try core.watermarks(partition, timeout: timeout)
  }

  /// As of the last fetch, without asking anybody; nil before the first one.
  public func cachedWatermarks(_ partition: TopicPartition) -> (low: Int64, high: Int64)? {
    core.cachedWatermarks(partition)
  }

  /// Where to begin where the group has no offset: what the configuration's `start`, or the manual assignment's
  /// position, means now. Blocks at most for `timeout`.
  /// - Throws: with `start` = error, an error that names the partition.
  public func offsetForStart(_ partition: TopicPartition, timeout: Duration) throws(KafkaError) -> Int64 {
    try core.offsetForStart(partition, timeout: timeout)
  }

  /// Begins the orderly end: `stopping` follows.
  public func stop() { core.stop() }

  /// Everything is done: the handle is closed and `run` returns.
  public func finish() { core.finish() }

  /// Drops the handle without closing it, after this call of the handler: no LeaveGroup, no further commit. Everything
  /// assigned is then `lost`, an outstanding commit `.unknown`, and a new handle joins under the same instance id.
  public func renew() { core.renew() }
}
