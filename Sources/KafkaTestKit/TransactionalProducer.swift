internal import CRdKafka
public import KafkaClient
internal import Synchronization

/// Writes in transactions, which leave offsets that no reader gets: the markers of their ends, and what was aborted.
/// Calls block, each for a few seconds at most; needs a real broker.
public final class TransactionalProducer: Sendable {
  private static let timeoutMilliseconds: Int32 = 30_000

  /// Sendable: every call is made under the lock.
  @safe private struct Native: @unchecked Sendable { let handle: OpaquePointer }
  private let native: Mutex<Native>

  /// - Parameter id: `transactional.id`; a second producer under it fences this one.
  public init(brokers: [String], id: String) throws(KafkaError) {
    let words = UnsafeMutablePointer<CChar>.allocate(capacity: 512)
    defer { unsafe words.deallocate() }
    let configuration = unsafe rd_kafka_conf_new()
    for (name, value) in [("bootstrap.servers", brokers.joined(separator: ",")), ("transactional.id", id)] {
      unsafe rd_kafka_conf_set(configuration, name, value, words, 512)
    }
    guard let handle = unsafe rd_kafka_new(RD_KAFKA_PRODUCER, configuration, words, 512) else {
      unsafe rd_kafka_conf_destroy(configuration)
      throw unsafe KafkaError(code: .configuration, message: "transactional producer: \(String(cString: words))")
    }
    unsafe native = Mutex(Native(handle: handle))
    try unsafe call("init transactions") { unsafe rd_kafka_init_transactions($0, Self.timeoutMilliseconds) }
  }

  deinit { native.withLock { unsafe rd_kafka_destroy($0.handle) } }

  public func begin() throws(KafkaError) {
    try unsafe call("begin transaction") { unsafe rd_kafka_begin_transaction($0) }
  }

  public func send(topic: String, partition: Int32, value: [UInt8]) throws(KafkaError) {
    try unsafe call("send to \(topic)") { handle in
      var bytes = value
      return unsafe bytes.withUnsafeMutableBytes { bytes in
        var arguments = unsafe [rd_kafka_vu_t](repeating: rd_kafka_vu_t(), count: 4)
        return unsafe topic.withCString { topic in
          unsafe arguments[0].vtype = RD_KAFKA_VTYPE_TOPIC
          unsafe arguments[0].u.cstr = topic
          unsafe arguments[1].vtype = RD_KAFKA_VTYPE_PARTITION
          unsafe arguments[1].u.i32 = partition
          unsafe arguments[2].vtype = RD_KAFKA_VTYPE_VALUE
          unsafe arguments[2].u.mem.ptr = bytes.baseAddress
          unsafe arguments[2].u.mem.size = bytes.count
          unsafe arguments[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS
          unsafe arguments[3].u.i = RD_KAFKA_MSG_F_COPY
          return unsafe rd_kafka_produceva(handle, arguments, arguments.count)
        }
      }
    }
  }

  /// Sends what has been queued, without ending the transaction.
  public func flush() { native.withLock { _ = unsafe rd_kafka_flush($0.handle, Self.timeoutMilliseconds) } }

  public func commit() throws(KafkaError) {
    try unsafe call("commit transaction") { unsafe rd_kafka_commit_transaction($0, Self.timeoutMilliseconds) }
  }

  /// Flushes first, so that the records are in the log and aborted there.
  public func abort() throws(KafkaError) {
    flush()
    try unsafe call("abort transaction") { unsafe rd_kafka_abort_transaction($0, Self.timeoutMilliseconds) }
  }

  @unsafe private func call(_ subject: String, _ body: (OpaquePointer) -> OpaquePointer?) throws(KafkaError) {
    let failure: KafkaError? = native.withLock { native in
      guard let error = unsafe body(native.handle) else { return nil }
      defer { unsafe rd_kafka_error_destroy(error) }
      return unsafe KafkaError(
        code: .library, message: "\(subject): \(String(cString: rd_kafka_error_string(error)))",
        nativeCode: rd_kafka_error_code(error).rawValue)
    }
    if let failure { throw failure }
  }
}
