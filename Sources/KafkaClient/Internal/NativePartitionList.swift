internal import CRdKafka

/// Owns `rd_kafka_topic_partition_list_t`.
@safe struct NativePartitionList: ~Copyable {
  let pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

  init(capacity: Int = 0) {
    unsafe pointer = rd_kafka_topic_partition_list_new(Int32(clamping: capacity))
  }

  init(_ partitions: some Collection<TopicPartition>) {
    self.init(capacity: partitions.count)
    for partition in partitions { add(partition) }
  }

  deinit { unsafe rd_kafka_topic_partition_list_destroy(pointer) }

  func add(_ partition: TopicPartition, offset: Int64? = nil, metadata: String = "") {
    let element = unsafe rd_kafka_topic_partition_list_add(pointer, partition.topic, partition.partition)
      .unsafelyUnwrapped
    if let offset { unsafe element.pointee.offset = offset }
    guard !metadata.isEmpty else { return }
    var bytes = metadata
    bytes.withUTF8 { text in
      // The list frees it with free(): the same allocator on every system where librdkafka's mem_malloc is malloc's.
      let copy = unsafe rd_kafka_mem_malloc(nil, text.count)
      unsafe copy.unsafelyUnwrapped.copyMemory(from: text.baseAddress.unsafelyUnwrapped, byteCount: text.count)
      unsafe element.pointee.metadata = copy
      unsafe element.pointee.metadata_size = text.count
    }
  }

  var partitions: [TopicPartition] { unsafe Self.partitions(of: pointer) }

  /// Reads a list that librdkafka owns.
  @unsafe static func partitions(of list: UnsafePointer<rd_kafka_topic_partition_list_t>?) -> [TopicPartition] {
    guard let list = unsafe list else { return [] }
    return unsafe (0..<Int(list.pointee.cnt)).map { unsafe partition(of: list.pointee.elems[$0]) }
  }

  /// Offsets and metadata, with each partition's own error.
  @unsafe static func offsets(
    of list: UnsafePointer<rd_kafka_topic_partition_list_t>?, _ subject: String
  ) -> [CommittedOffset] {
    guard let list = unsafe list else { return [] }
    return unsafe (0..<Int(list.pointee.cnt)).map { index in
      let element = unsafe list.pointee.elems[index]
      let name = unsafe partition(of: element)
      let metadata = unsafe UnsafeRawBufferPointer(start: element.metadata, count: element.metadata_size)
      let code = unsafe element.err
      return unsafe CommittedOffset(
        name, offset: element.offset >= 0 ? element.offset : nil, metadata: String(decoding: metadata, as: UTF8.self),
        error: code == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaError(code, "\(subject) \(name)"))
    }
  }

  func offsets(_ subject: String) -> [CommittedOffset] { unsafe Self.offsets(of: pointer, subject) }

  /// - Throws: the first error that an element carries.
  func throwFirstError(
    _ subject: String, except harmless: rd_kafka_resp_err_t = RD_KAFKA_RESP_ERR_NO_ERROR
  ) throws(KafkaError) {
    for index in 0..<Int(unsafe pointer.pointee.cnt) {
      let element = unsafe pointer.pointee.elems[index]
      let code = unsafe element.err
      guard code != RD_KAFKA_RESP_ERR_NO_ERROR, code != harmless else { continue }
      throw unsafe KafkaError(code, "\(subject) \(Self.partition(of: element))")
    }
  }

  private static func partition(of element: rd_kafka_topic_partition_t) -> TopicPartition {
    unsafe TopicPartition(String(cString: element.topic), element.partition)
  }
}
