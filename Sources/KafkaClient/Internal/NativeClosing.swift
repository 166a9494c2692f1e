internal import CRdKafka
internal import SinkThreads
internal import Synchronization

/// How a consumer's handle ends its membership.
enum NativeClosing {
  /// librdkafka before 2.3 aborts the process where a handle is closed or destroyed between the answer to its first join and
  /// its assignment (issue 4312): neither is done within a join. From now on rebalances are answered in the callback.
  /// - Returns: whether no join is under way.
  @unsafe static func letJoinEnd(
    _ handle: OpaquePointer, _ callbacks: NativeCallbacks, by deadline: MonotonicInstant, _ clock: TimeSource
  ) -> Bool {
    callbacks.close()
    while callbacks.isJoining.load(ordering: .sequentiallyConsistent) {
      guard clock.monotonic() < deadline else { return false }
      if let message = unsafe rd_kafka_consumer_poll(handle, 10) { unsafe rd_kafka_message_destroy(message) }
    }
    return true
  }

  /// A dynamic member leaves, a static one only goes quiet and keeps its partitions for a session.
  /// - Returns: whether librdkafka was done by the deadline.
  @unsafe static func leave(_ handle: OpaquePointer, by deadline: MonotonicInstant, _ clock: TimeSource) -> Bool {
    // Closing a member that has no partitions says nothing to the group, which then waits a session for it; this does.
    if unsafe !hasPartitions(handle) { unsafe rd_kafka_unsubscribe(handle) }
    guard let events = unsafe rd_kafka_queue_new(handle) else { return false }
    defer { unsafe rd_kafka_queue_destroy(events) }
    if let error = unsafe rd_kafka_consumer_close_queue(handle, events) {
      // A fatal handle has left already.
      unsafe rd_kafka_error_destroy(error)
      return false
    }
    while unsafe rd_kafka_consumer_closed(handle) == 0 {
      guard clock.monotonic() < deadline else { return false }
      unsafe discard(events, milliseconds: 10)
    }
    unsafe discard(events, milliseconds: 0)
    guard let records = unsafe rd_kafka_queue_get_consumer(handle) else { return true }
    defer { unsafe rd_kafka_queue_destroy(records) }
    unsafe discard(records, milliseconds: 0)
    return true
  }

  private static func hasPartitions(_ handle: OpaquePointer) -> Bool {
    var list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
    guard unsafe rd_kafka_assignment(handle, &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list = unsafe list else {
      return true
    }
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    return unsafe list.pointee.cnt > 0
  }

  /// Closing sends what was fetched to the queue of events, and one message that is left there holds up the destruction of
  /// the handle for ever: take them like records. librdkafka's callbacks run in here too.
  private static func discard(_ queue: OpaquePointer, milliseconds: Int32) {
    let capacity = 1024
    let messages = RecordBatch.Messages.allocate(capacity: capacity)
    defer { unsafe messages.deallocate() }
    var wait = milliseconds
    while true {
      let count = max(0, unsafe rd_kafka_consume_batch_queue(queue, wait, messages, capacity))
      for index in 0..<count { unsafe rd_kafka_message_destroy(messages[index]) }
      guard count > 0 else { return }
      wait = 0
    }
  }
}
