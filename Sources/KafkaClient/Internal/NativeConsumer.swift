internal import CRdKafka
internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Owns a consumer's `rd_kafka_t`, its queue and everything that must be gone before it. Only the thread that made it
/// calls it.
@safe struct NativeConsumer: ~Copyable {
  let callbacks: NativeCallbacks
  private let handle: OpaquePointer
  private let queue: OpaquePointer
  private let messages: RecordBatch.Messages
  private let capacity: Int
  private let topicHandleTag: UInt
  /// A reference to each topic that records came from: its address is not used for another one while we hold it.
  private var topics: [UInt: OpaquePointer]
  /// It was closed in the midst of a join.
  private var isToLeave = false

  /// What one poll brought beside records.
  enum Incident {
    case partitionEnd(TopicPartition, Int64)
    case outOfRange(TopicPartition, KafkaError)
    case error(KafkaError, TopicPartition?)
    case fatal(KafkaError)
  }

  /// - Parameter number: of the handle among those of one consumer.
  init(_ configuration: KafkaConsumerConfiguration, number: UInt) throws(KafkaError) {
    callbacks = NativeCallbacks(configuration.logger)
    unsafe handle = try NativeConfiguration(PropertyTable.consumer(configuration)).open(RD_KAFKA_CONSUMER, callbacks)
    unsafe rd_kafka_poll_set_consumer(handle)
    // To the main queue, which the consumer's queue now serves too.
    unsafe rd_kafka_set_log_queue(handle, nil)
    unsafe queue = rd_kafka_queue_get_consumer(handle)
    unsafe messages = .allocate(capacity: configuration.batchCapacity)
    capacity = configuration.batchCapacity
    unsafe topics = [:]
    topicHandleTag = (number & 0xffff) << 48
  }

  /// Never leaves the group: that is `close`. Destroying can wait for answers up to a session, and for ever where librdkafka
  /// still counts a reference, so another thread does it: no run hangs on it.
  deinit {
    // swift-format-ignore: ReplaceForEachWithForLoop
    unsafe topics.values.forEach { unsafe rd_kafka_topic_destroy($0) }
    unsafe rd_kafka_queue_destroy(queue)
    unsafe messages.deallocate()
    unsafe Reaper.destroy(handle, keeping: callbacks, leaving: isToLeave)
  }

  func open(_ door: WakeDoor) { unsafe door.open(queue) }

  // MARK: Polling

  /// Takes what is there, waiting at most `wait`, or until somebody calls at the door, for the first record. librdkafka's
  /// callbacks run in here.
  mutating func poll(wait: Duration, _ door: WakeDoor) -> Int {
    // A batch call fills or waits its whole time: ask without waiting, then for one record only.
    let ready = take(0, at: 0, capacity)
    guard ready == 0, wait > .zero, !door.hasWish else { return ready }
    // Rounded up, or the last fraction of a millisecond would be spent spinning.
    let milliseconds = (wait + .nanoseconds(999_999)).milliseconds
    guard take(milliseconds, at: 0, 1) == 1 else { return 0 }
    return capacity == 1 ? 1 : 1 + take(0, at: 1, capacity - 1)
  }

  private func take(_ milliseconds: Int32, at index: Int, _ count: Int) -> Int {
    max(0, unsafe rd_kafka_consume_batch_queue(queue, milliseconds, messages + index, count))
  }

  /// Moves messages that are errors or ends out of what `poll` brought, keeping the order of the records.
  mutating func split(_ count: Int, _ incidents: inout [Incident]) -> Int {
    var kept = 0
    var last: OpaquePointer?
    for index in 0..<count {
      let message = unsafe messages[index].unsafelyUnwrapped
      guard unsafe message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
        unsafe incidents.append(incident(message))
        unsafe rd_kafka_message_destroy(message)
        continue
      }
      if unsafe message.pointee.rkt != last {
        unsafe last = message.pointee.rkt
        unsafe hold(message.pointee.rkt)
      }
      unsafe messages[kept] = message
      kept += 1
    }
    return kept
  }

  /// Lends the first `count` messages; they are given back afterwards.
  func withBatch(_ count: Int, _ body: (borrowing RecordBatch) -> Void) {
    unsafe body(RecordBatch(adopting: messages, count: count, topicHandleTag: topicHandleTag))
  }

  @inline(never) private mutating func hold(_ topic: OpaquePointer) {
    let address = UInt(bitPattern: topic)
    guard unsafe topics[address] == nil else { return }
    unsafe topics[address] = rd_kafka_topic_new(handle, rd_kafka_topic_name(topic), nil)
  }

  private func incident(_ message: UnsafeMutablePointer<rd_kafka_message_t>) -> Incident {
    let code = unsafe message.pointee.err
    let partition = unsafe message.pointee.rkt.map { topic in
      unsafe TopicPartition(String(cString: rd_kafka_topic_name(topic)), message.pointee.partition)
    }
    let words = unsafe rd_kafka_message_errstr(message).map { unsafe String(cString: $0) }
    if code == RD_KAFKA_RESP_ERR__FATAL { return unsafe .fatal(NativeCallbacks.fatalError(of: handle, words ?? "")) }
    let subject = partition.map { "\($0)" } ?? "consumer"
    guard let partition else { return .error(KafkaError(code, subject, detail: words), nil) }
    switch code {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: return unsafe .partitionEnd(partition, message.pointee.offset)
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      return .outOfRange(partition, KafkaError(code, subject, detail: words))
    default:
      return .error(KafkaError(code, subject, detail: words), partition)
    }
  }
}

// MARK: - Group and assignment

extension NativeConsumer {
  func subscribe(_ topics: [String]) throws(KafkaError) {
    let list = NativePartitionList(topics.map { TopicPartition($0, -1) })
    try unsafe check(rd_kafka_subscribe(handle, list.pointer), "subscribe to \(topics.joined(separator: ", "))")
  }

  func assign(_ partitions: [(TopicPartition, offset: Int64)]) throws(KafkaError) {
    let list = NativePartitionList(capacity: partitions.count)
    for (partition, offset) in partitions { list.add(partition, offset: offset) }
    try unsafe check(rd_kafka_incremental_assign(handle, list.pointer), "assign \(partitions.map { "\($0.0)" })")
  }

  func unassign(_ partitions: [TopicPartition]) throws(KafkaError) {
    let list = NativePartitionList(partitions)
    try unsafe check(rd_kafka_incremental_unassign(handle, list.pointer), "unassign \(partitions)")
  }

  func pause(_ partitions: [TopicPartition]) throws(KafkaError) {
    let list = NativePartitionList(partitions)
    try unsafe check(rd_kafka_pause_partitions(handle, list.pointer), "pause \(partitions)")
    try list.throwFirstError("pause")
  }

  func resume(_ partitions: [TopicPartition]) throws(KafkaError) {
    let list = NativePartitionList(partitions)
    try unsafe check(rd_kafka_resume_partitions(handle, list.pointer), "resume \(partitions)")
    try list.throwFirstError("resume")
    // Nothing tells the brokers' threads, which sleep up to a second. A request wakes them; nobody waits for its answer.
    let question = NativePartitionList(capacity: partitions.count)
    for partition in partitions { question.add(partition, offset: Int64(RD_KAFKA_OFFSET_END)) }
    _ = unsafe rd_kafka_offsets_for_times(handle, question.pointer, 0)
  }

  func seek(_ partition: TopicPartition, to offset: Int64) throws(KafkaError) {
    let list = NativePartitionList(capacity: 1)
    list.add(partition, offset: offset)
    // With a time-out, librdkafka 2.0 sometimes says that it passed although the seek worked: do not wait.
    try unsafe check(rd_kafka_seek_partitions(handle, list.pointer, 0), "seek \(partition) to \(offset)")
    try list.throwFirstError("seek to \(offset) in", except: RD_KAFKA_RESP_ERR__IN_PROGRESS)
  }

  /// The group as this member knows it: `CGMDv2:`, the generation in the machine's byte order, then names.
  var generation: Int32 {
    guard let metadata = unsafe rd_kafka_consumer_group_metadata(handle) else { return -1 }
    defer { unsafe rd_kafka_consumer_group_metadata_destroy(metadata) }
    var buffer: UnsafeMutableRawPointer?
    var size = 0
    if let error = unsafe rd_kafka_consumer_group_metadata_write(metadata, &buffer, &size) {
      unsafe rd_kafka_error_destroy(error)
      return -1
    }
    defer { unsafe rd_kafka_mem_free(handle, buffer) }
    guard let buffer = unsafe buffer, size >= 11 else { return -1 }
    return unsafe buffer.loadUnaligned(fromByteOffset: 7, as: Int32.self)
  }

  var memberID: String {
    guard let name = unsafe rd_kafka_memberid(handle) else { return "" }
    defer { unsafe rd_kafka_mem_free(handle, name) }
    return unsafe String(cString: name)
  }
}

// MARK: - Offsets

extension NativeConsumer {
  func commit(_ number: UInt64, _ offsets: [CommittedOffset]) throws(KafkaError) {
    let list = NativePartitionList(capacity: offsets.count)
    for offset in offsets { list.add(offset.partition, offset: offset.offset, metadata: offset.metadata) }
    let opaque = unsafe UnsafeMutableRawPointer(bitPattern: UInt(number))
    let code = unsafe rd_kafka_commit_queue(handle, list.pointer, queue, NativeCallbacks.commitAnswered, opaque)
    try check(code, "commit of \(offsets.count) offsets")
  }

  func committed(_ partitions: [TopicPartition], timeout: Duration) throws(KafkaError) -> [CommittedOffset] {
    let list = NativePartitionList(partitions)
    try unsafe check(
      rd_kafka_committed(handle, list.pointer, timeout.milliseconds), "committed offsets of \(partitions)")
    // An offset that could not be read is not one that is not there.
    try list.throwFirstError("committed offset of")
    return list.offsets("committed offset of")
  }

  func topicIDs(_ topics: [String], timeout: Duration) throws(KafkaError) -> [String: TopicID]? {
    guard let describer = unsafe TopicDescriber.loaded else { return nil }
    return try unsafe describer.ids(of: topics, handle, timeout: timeout)
  }

  func watermarks(_ partition: TopicPartition, timeout: Duration) throws(KafkaError) -> (low: Int64, high: Int64) {
    var low: Int64 = -1
    var high: Int64 = -1
    let code = unsafe rd_kafka_query_watermark_offsets(
      handle, partition.topic, partition.partition, &low, &high, timeout.milliseconds)
    try check(code, "watermarks of \(partition)")
    return (low, high)
  }

  func cachedWatermarks(_ partition: TopicPartition) -> (low: Int64, high: Int64)? {
    var low: Int64 = -1
    var high: Int64 = -1
    let code = unsafe rd_kafka_get_watermark_offsets(handle, partition.topic, partition.partition, &low, &high)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR, low >= 0, high >= 0 else { return nil }
    return (low, high)
  }

  private func check(_ code: rd_kafka_resp_err_t, _ subject: @autoclosure () -> String) throws(KafkaError) {
    guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
    throw KafkaError(code, subject())
  }

  @unsafe private func check(_ error: OpaquePointer?, _ subject: @autoclosure () -> String) throws(KafkaError) {
    guard let error = unsafe error else { return }
    throw unsafe KafkaError(consuming: error, subject())
  }
}

// MARK: - Closing

extension NativeConsumer {
  /// Ends the membership; where a join holds that up, the reaper does it later.
  /// - Returns: whether librdkafka was done by the deadline.
  mutating func close(by deadline: MonotonicInstant, _ clock: TimeSource) -> Bool {
    guard unsafe NativeClosing.letJoinEnd(handle, callbacks, by: deadline, clock) else {
      isToLeave = true
      return false
    }
    return unsafe NativeClosing.leave(handle, by: deadline, clock)
  }
}
