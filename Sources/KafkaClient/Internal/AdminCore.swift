internal import CRdKafka
internal import SinkTelemetry
internal import SinkThreads

/// Owns a handle for questions and changes. librdkafka's calls block, so each one runs on a thread of its own.
@safe final class AdminCore: @unchecked Sendable {
  // Sendable: what is called on the handle here may be called from any thread; it lives as long as this object.
  let handle: OpaquePointer
  private let callbacks: NativeCallbacks
  private let table: [Property]
  private let logger: Logger
  let clock = TimeSource.system

  init(
    brokers: [String], security: KafkaSecurity, properties: [String: String], isolation: IsolationLevel,
    clientID: String, logger: Logger
  ) throws(KafkaError) {
    callbacks = NativeCallbacks(logger)
    self.logger = logger
    table = try PropertyTable.admin(
      brokers: brokers, security: security, properties: properties, isolation: isolation, clientID: clientID)
    unsafe handle = try NativeConfiguration(table).open(RD_KAFKA_PRODUCER, callbacks)
    unsafe rd_kafka_set_log_queue(handle, nil)
  }

  /// A consumer's handle that only asks what the group holds.
  init(readerOf group: String, _ other: AdminCore) throws(KafkaError) {
    callbacks = NativeCallbacks(other.logger)
    logger = other.logger
    table =
      other.table + [
        Property(name: "group.id", value: group), Property(name: "enable.auto.commit", value: "false"),
      ]
    unsafe handle = try NativeConfiguration(table).open(RD_KAFKA_CONSUMER, callbacks)
    unsafe rd_kafka_set_log_queue(handle, nil)
  }

  deinit { unsafe Reaper.destroy(handle, keeping: callbacks) }

  func metadata(topic: String?, within timeout: Duration) async throws(KafkaError) -> KafkaAdmin.Cluster {
    try await offload { (self, deadline) throws(KafkaError) in
      let only = unsafe topic.map { unsafe rd_kafka_topic_new(self.handle, $0, nil) } ?? nil
      defer { if let only = unsafe only { unsafe rd_kafka_topic_destroy(only) } }
      while true {
        var answer: UnsafePointer<rd_kafka_metadata>?
        let slice = min(.seconds(1), deadline - self.clock.monotonic())
        let code = unsafe rd_kafka_metadata(self.handle, topic == nil ? 1 : 0, only, &answer, slice.milliseconds)
        self.serveCallbacks()
        if let answer = unsafe answer {
          defer { unsafe rd_kafka_metadata_destroy(answer) }
          return unsafe self.cluster(answer, deadline)
        }
        try self.throwIfHopeless(code, "metadata", deadline)
      }
    }(timeout)
  }

  func createTopic(
    _ name: String, partitions: Int, replication: Int, settings: [String: String], within timeout: Duration
  ) async throws(KafkaError) {
    let subject = "create topic \(name)"
    try await offload { (self, deadline) throws(KafkaError) in
      let words = UnsafeMutablePointer<CChar>.allocate(capacity: 512)
      defer { unsafe words.deallocate() }
      guard
        let topic = unsafe rd_kafka_NewTopic_new(
          name, Int32(clamping: partitions), Int32(clamping: replication), words, 512)
      else { throw unsafe KafkaError(code: .invalidArgument, message: "\(subject): \(String(cString: words))") }
      defer { unsafe rd_kafka_NewTopic_destroy(topic) }
      for (key, value) in settings { unsafe rd_kafka_NewTopic_set_config(topic, key, value) }
      try unsafe self.request(subject, RD_KAFKA_ADMIN_OP_CREATETOPICS, deadline) { options, queue in
        var list: OpaquePointer? = unsafe topic
        unsafe withUnsafeMutablePointer(to: &list) { list in
          unsafe rd_kafka_CreateTopics(self.handle, list, 1, options, queue)
        }
      } results: { event, count in
        unsafe rd_kafka_event_CreateTopics_result(event).flatMap {
          unsafe rd_kafka_CreateTopics_result_topics($0, &count)
        }
      }
    }(timeout)
  }

  func deleteTopic(_ name: String, within timeout: Duration) async throws(KafkaError) {
    try await offload { (self, deadline) throws(KafkaError) in
      let topic = unsafe rd_kafka_DeleteTopic_new(name)
      defer { unsafe rd_kafka_DeleteTopic_destroy(topic) }
      try unsafe self.request("delete topic \(name)", RD_KAFKA_ADMIN_OP_DELETETOPICS, deadline) { options, queue in
        var list: OpaquePointer? = unsafe topic
        unsafe withUnsafeMutablePointer(to: &list) { list in
          unsafe rd_kafka_DeleteTopics(self.handle, list, 1, options, queue)
        }
      } results: { event, count in
        unsafe rd_kafka_event_DeleteTopics_result(event).flatMap {
          unsafe rd_kafka_DeleteTopics_result_topics($0, &count)
        }
      }
    }(timeout)
  }

  func addPartitions(_ name: String, total: Int, within timeout: Duration) async throws(KafkaError) {
    let subject = "give topic \(name) \(total) partitions"
    try await offload { (self, deadline) throws(KafkaError) in
      let words = UnsafeMutablePointer<CChar>.allocate(capacity: 512)
      defer { unsafe words.deallocate() }
      guard let change = unsafe rd_kafka_NewPartitions_new(name, max(0, total), words, 512) else {
        throw unsafe KafkaError(code: .invalidArgument, message: "\(subject): \(String(cString: words))")
      }
      defer { unsafe rd_kafka_NewPartitions_destroy(change) }
      try unsafe self.request(subject, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, deadline) { options, queue in
        var list: OpaquePointer? = unsafe change
        unsafe withUnsafeMutablePointer(to: &list) { list in
          unsafe rd_kafka_CreatePartitions(self.handle, list, 1, options, queue)
        }
      } results: { event, count in
        unsafe rd_kafka_event_CreatePartitions_result(event).flatMap {
          unsafe rd_kafka_CreatePartitions_result_topics($0, &count)
        }
      }
    }(timeout)
  }

  func watermarks(
    _ partition: TopicPartition, within timeout: Duration
  ) async throws(KafkaError) -> (low: Int64, high: Int64) {
    let subject = "watermarks of \(partition)"
    let both: [Int64] = try await offload { (self, deadline) throws(KafkaError) in
      while true {
        var low: Int64 = -1
        var high: Int64 = -1
        let slice = min(.seconds(1), deadline - self.clock.monotonic())
        let code = unsafe rd_kafka_query_watermark_offsets(
          self.handle, partition.topic, partition.partition, &low, &high, slice.milliseconds)
        self.serveCallbacks()
        if code == RD_KAFKA_RESP_ERR_NO_ERROR { return [low, high] }
        try self.throwIfHopeless(code, subject, deadline)
      }
    }(timeout)
    return (both[0], both[1])
  }
}

extension AdminCore {
  func operations(
    on topics: [String], within timeout: Duration
  ) async throws(KafkaError) -> [String: Set<KafkaAdmin.TopicOperation>]? {
    guard let describer = unsafe TopicDescriber.loaded else { return nil }
    return try await offload { (self, deadline) throws(KafkaError) in
      let event = try unsafe self.answer("operations on topics", TopicDescriber.operation, deadline) { options, queue in
        unsafe describer.askForOperations(options)
        unsafe describer.send(topics, self.handle, options, queue)
      }
      defer { unsafe rd_kafka_event_destroy(event) }
      return unsafe describer.operations(in: event)
    }(timeout)
  }
}

// MARK: - How a call is made

extension AdminCore {
  /// What a controller goes on with after its answer: these have a time-out of their own.
  private static let operations = [
    RD_KAFKA_ADMIN_OP_CREATETOPICS, RD_KAFKA_ADMIN_OP_DELETETOPICS, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
  ].map(\.rawValue)

  /// A function that runs `body` on a thread of its own, with the deadline that its time-out means.
  func offload<Result: Sendable>(
    _ body: @escaping @Sendable (AdminCore, MonotonicInstant) throws(KafkaError) -> Result
  ) -> (Duration) async throws(KafkaError) -> Result {
    { timeout async throws(KafkaError) -> Result in
      let end = OneShot<Swift.Result<Result, KafkaError>>()
      let deadline = self.clock.monotonic() + timeout
      NamedThread(name: "kafka-admin") {
        do throws(KafkaError) {
          end.resolve(.success(try body(self, deadline)))
        } catch {
          end.resolve(.failure(error))
        }
      }.detach()
      return try await end.value.get()
    }
  }

  /// Runs one of librdkafka's admin requests whose result is a list with one topic.
  @unsafe private func request(
    _ subject: String, _ operation: rd_kafka_admin_op_t, _ deadline: MonotonicInstant,
    _ send: (_ options: OpaquePointer?, _ queue: OpaquePointer?) -> Void,
    results: (OpaquePointer, inout Int) -> UnsafeMutablePointer<OpaquePointer?>?
  ) throws(KafkaError) {
    let event = try unsafe answer(subject, operation, deadline, send)
    defer { unsafe rd_kafka_event_destroy(event) }
    var count = 0
    guard let topics = unsafe results(event, &count) else { return }
    for index in 0..<count {
      let code = unsafe rd_kafka_topic_result_error(topics[index])
      guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
      let words = unsafe rd_kafka_topic_result_error_string(topics[index]).map { unsafe String(cString: $0) }
      throw KafkaError(code, subject, detail: words)
    }
  }

  /// - Returns: the event, which the caller destroys.
  @unsafe func answer(
    _ subject: String, _ operation: rd_kafka_admin_op_t, _ deadline: MonotonicInstant,
    _ send: (_ options: OpaquePointer?, _ queue: OpaquePointer?) -> Void
  ) throws(KafkaError) -> OpaquePointer {
    let queue = unsafe rd_kafka_queue_new(handle)
    defer { unsafe rd_kafka_queue_destroy(queue) }
    let options = unsafe rd_kafka_AdminOptions_new(handle, operation)
    defer { unsafe rd_kafka_AdminOptions_destroy(options) }
    let milliseconds = max(1, (deadline - clock.monotonic()).milliseconds)
    unsafe rd_kafka_AdminOptions_set_request_timeout(options, milliseconds, nil, 0)
    if Self.operations.contains(operation.rawValue) {
      unsafe rd_kafka_AdminOptions_set_operation_timeout(options, milliseconds, nil, 0)
    }
    unsafe send(options, queue)
    while true {
      serveCallbacks()
      guard let event = unsafe rd_kafka_queue_poll(queue, 100) else {
        // The request goes on in the background; its answer is dropped with the queue.
        try throwIfHopeless(RD_KAFKA_RESP_ERR__TIMED_OUT, subject, deadline)
        continue
      }
      let code = unsafe rd_kafka_event_error(event)
      guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return unsafe event }
      defer { unsafe rd_kafka_event_destroy(event) }
      throw unsafe KafkaError(code, subject, detail: String(cString: rd_kafka_event_error_string(event)))
    }
  }

  func serveCallbacks() {
    _ = unsafe rd_kafka_poll(handle, 0)
    _ = callbacks.takeNotes()
  }

  /// Transient refusals are asked again until the deadline; bad credentials do not get better by waiting.
  func throwIfHopeless(
    _ code: rd_kafka_resp_err_t, _ subject: String, _ deadline: MonotonicInstant
  ) throws(KafkaError) {
    if let reason = callbacks.lastError, reason.code == .authentication { throw reason }
    let error = KafkaError(code, subject)
    guard error.isRetriable, clock.monotonic() < deadline else {
      guard let reason = callbacks.lastError, error.isRetriable else { throw error }
      throw KafkaError(
        code: error.code == .timedOut ? .timedOut : reason.code, message: "\(subject): \(reason.message)",
        nativeCode: code.rawValue, nativeName: error.nativeName, isRetriable: true)
    }
  }

  @unsafe private func cluster(
    _ metadata: UnsafePointer<rd_kafka_metadata>, _ deadline: MonotonicInstant
  ) -> KafkaAdmin.Cluster {
    let answer = unsafe metadata.pointee
    var brokers: [Int32: String] = [:]
    for index in 0..<Int(unsafe answer.broker_cnt) {
      let broker = unsafe answer.brokers[index]
      unsafe brokers[broker.id] = "\(String(cString: broker.host)):\(broker.port)"
    }
    let topics = unsafe (0..<Int(answer.topic_cnt)).map { unsafe Self.topic(answer.topics[$0]) }
    let patience = max(.zero, min(.seconds(1), deadline - clock.monotonic()))
    let controller = unsafe rd_kafka_controllerid(handle, patience.milliseconds)
    var clusterID: String?
    if let name = unsafe rd_kafka_clusterid(handle, patience.milliseconds) {
      unsafe clusterID = String(cString: name)
      unsafe rd_kafka_mem_free(handle, name)
    }
    return KafkaAdmin.Cluster(
      brokers: brokers, controller: controller >= 0 ? controller : nil, clusterID: clusterID, topics: topics)
  }

  private static func topic(_ topic: rd_kafka_metadata_topic_t) -> KafkaAdmin.Topic {
    let name = unsafe String(cString: topic.topic)
    let partitions = unsafe (0..<Int(topic.partition_cnt)).map { index in
      let partition = unsafe topic.partitions[index]
      return unsafe KafkaAdmin.Partition(
        partition: partition.id, leader: partition.leader >= 0 ? partition.leader : nil,
        replicas: Array(UnsafeBufferPointer(start: partition.replicas, count: Int(partition.replica_cnt))),
        inSyncReplicas: Array(UnsafeBufferPointer(start: partition.isrs, count: Int(partition.isr_cnt))))
    }
    let code = unsafe topic.err
    return KafkaAdmin.Topic(
      name: name, partitions: partitions.sorted { $0.partition < $1.partition },
      error: code == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaError(code, "topic \(name)"))
  }
}
