internal import CRdKafka

/// The arguments of one `rd_kafka_produceva`, with the memory that they point to. librdkafka copies all of it.
@safe struct NativeMessage: ~Copyable {
  private var arguments: [rd_kafka_vu_t]
  private var copies: [UnsafeMutableRawBufferPointer]
  /// Given over as one argument and ours again where librdkafka refuses the record: headers that are arguments of their
  /// own it frees twice then, when it refuses for the topic's sake (librdkafka issue 4627).
  private var headers: OpaquePointer?
  private let partition: Int32?

  init(topic: String, partition: Int32?, timestampMilliseconds: Int64?) {
    unsafe arguments = []
    unsafe copies = []
    unsafe headers = nil
    self.partition = partition
    let name = unsafe keep(Array(topic.utf8) + [0])
    unsafe append(RD_KAFKA_VTYPE_TOPIC) { unsafe $0.cstr = UnsafePointer(name.assumingMemoryBound(to: CChar.self)) }
    if let partition { unsafe append(RD_KAFKA_VTYPE_PARTITION) { unsafe $0.i32 = partition } }
    if let timestampMilliseconds {
      unsafe append(RD_KAFKA_VTYPE_TIMESTAMP) { unsafe $0.i64 = timestampMilliseconds }
    }
  }

  deinit {
    // swift-format-ignore: ReplaceForEachWithForLoop
    unsafe copies.forEach { unsafe $0.deallocate() }
    if let headers = unsafe headers { unsafe rd_kafka_headers_destroy(headers) }
  }

  mutating func add(_ header: Record.Header) {
    if unsafe headers == nil { unsafe headers = rd_kafka_headers_new(16) }
    var value: UnsafeMutableRawPointer?
    if let bytes = header.value { unsafe value = keep(bytes) }
    let size = header.value?.count ?? 0
    // Fails only for a list that is read-only, which a new one is not.
    unsafe _ = rd_kafka_header_add(headers, header.name, -1, value, size)
  }

  /// - Parameter opaque: comes back with the delivery report unless this answers with an error.
  @unsafe mutating func produce(
    _ handle: OpaquePointer, key: [UInt8]?, value: [UInt8]?, opaque: UnsafeMutableRawPointer
  ) -> KafkaError? {
    for (type, bytes) in [(RD_KAFKA_VTYPE_KEY, key), (RD_KAFKA_VTYPE_VALUE, value)] {
      guard let bytes else { continue }
      let copy = unsafe keep(bytes)
      unsafe append(type) { argument in
        unsafe argument.mem.ptr = copy
        unsafe argument.mem.size = bytes.count
      }
    }
    unsafe append(RD_KAFKA_VTYPE_MSGFLAGS) { unsafe $0.i = RD_KAFKA_MSG_F_COPY }
    unsafe append(RD_KAFKA_VTYPE_OPAQUE) { unsafe $0.ptr = opaque }
    if let headers = unsafe headers { unsafe append(RD_KAFKA_VTYPE_HEADERS) { unsafe $0.headers = headers } }
    guard let error = unsafe rd_kafka_produceva(handle, arguments, arguments.count) else {
      unsafe headers = nil
      return nil
    }
    let place = partition.map { "/\($0)" } ?? ""
    return unsafe KafkaError(consuming: error, "send to \(String(cString: arguments[0].u.cstr))\(place)")
  }

  /// A pointer of its own also for no bytes: librdkafka takes a null pointer for Kafka's null.
  @unsafe private mutating func keep(_ bytes: [UInt8]) -> UnsafeMutableRawPointer {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
    unsafe copy.copyBytes(from: bytes)
    unsafe copies.append(copy)
    return unsafe copy.baseAddress.unsafelyUnwrapped
  }

  @unsafe private mutating func append(
    _ type: rd_kafka_vtype_t, _ fill: (inout rd_kafka_vu_t.__Unnamed_union_u) -> Void
  ) {
    var argument = unsafe rd_kafka_vu_t()
    unsafe argument.vtype = type
    unsafe fill(&argument.u)
    unsafe arguments.append(argument)
  }
}
