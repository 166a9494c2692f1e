internal import CRdKafka
internal import SinkTelemetry
internal import Synchronization

/// What librdkafka's callbacks said, kept until the owner's thread looks: a callback only records, and ends the poll that
/// runs it, so that effects happen outside of it.
///
/// One for each native handle. `Sendable`: the notes are under a lock; what interceptors count, on librdkafka's own
/// threads, is atomic.
final class NativeCallbacks: Sendable {
  enum Note: Sendable {
    case given([TopicPartition])
    case askedBack([TopicPartition], isLost: Bool)
    case answered(commit: UInt64, error: KafkaError?, offsets: [CommittedOffset])
    case error(KafkaError)
    case fatal(KafkaError)
    case statistics(String)
  }

  private struct State {
    var notes: [Note] = []
    var isClosing = false
    var lastError: KafkaError?
  }

  private let state = Mutex(State())
  /// OffsetCommit requests that went out, silent repetitions included.
  let commitRequests = Atomic<UInt64>(0)
  /// From a JoinGroup request of ours until the next rebalance callback.
  let isJoining = Atomic<Bool>(false)
  private let logger: Logger

  init(_ logger: Logger) { self.logger = logger.named("librdkafka") }

  func takeNotes() -> [Note] {
    state.withLock { state in
      guard !state.notes.isEmpty else { return [] }
      let taken = state.notes
      state.notes = []
      return taken
    }
  }

  /// From now on rebalances are answered at once, in the callback.
  func close() { state.withLock { $0.isClosing = true } }

  /// librdkafka's last complaint about connections or credentials: the reason behind a time-out.
  var lastError: KafkaError? { state.withLock { $0.lastError } }

  private func record(_ note: Note) { state.withLock { $0.notes.append(note) } }
}

// MARK: - What librdkafka calls

extension NativeCallbacks {
  /// The configuration, and with it the handle, holds a reference, which `release` gives back.
  @unsafe func install(in configuration: OpaquePointer, _ type: rd_kafka_type_t) {
    unsafe rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(self).toOpaque())
    unsafe rd_kafka_conf_set_log_cb(configuration) { handle, level, facility, line in
      guard let callbacks = unsafe NativeCallbacks.of(handle), let line = unsafe line else { return }
      unsafe callbacks.log(level, facility.map { unsafe String(cString: $0) } ?? "", String(cString: line))
    }
    unsafe rd_kafka_conf_set_error_cb(configuration) { handle, code, reason, _ in
      guard let callbacks = unsafe NativeCallbacks.of(handle), let handle = unsafe handle else { return }
      unsafe callbacks.failed(handle, code, reason.map { unsafe String(cString: $0) } ?? "")
    }
    guard type == RD_KAFKA_CONSUMER else { return unsafe ProducerCore.installDeliveryReports(in: configuration) }
    unsafe rd_kafka_conf_set_rebalance_cb(configuration) { handle, code, partitions, _ in
      guard let callbacks = unsafe NativeCallbacks.of(handle), let handle = unsafe handle else { return }
      unsafe callbacks.rebalanced(handle, code, partitions)
      unsafe NativeCallbacks.endWait(of: handle)
    }
    unsafe rd_kafka_conf_set_stats_cb(configuration) { handle, json, count, _ in
      guard let callbacks = unsafe NativeCallbacks.of(handle), let json = unsafe json else { return 0 }
      let text = unsafe UnsafeRawBufferPointer(start: json, count: count)
      callbacks.record(.statistics(unsafe String(decoding: text, as: UTF8.self)))
      return 0
    }
    unsafe rd_kafka_conf_interceptor_add_on_new(
      configuration, "sink",
      { handle, _, opaque, _, _ in
        unsafe rd_kafka_interceptor_add_on_request_sent(
          handle, "sink",
          { _, _, _, _, key, _, _, _, opaque in
            guard let opaque = unsafe opaque else { return RD_KAFKA_RESP_ERR_NO_ERROR }
            unsafe Unmanaged<NativeCallbacks>.fromOpaque(opaque).takeUnretainedValue().sent(request: key)
            return RD_KAFKA_RESP_ERR_NO_ERROR
          }, opaque)
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  /// For `rd_kafka_commit_queue`; the opaque value is the commit's number.
  @unsafe static let commitAnswered:
    @convention(c) (
      OpaquePointer?, rd_kafka_resp_err_t, UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?,
      UnsafeMutableRawPointer?
    ) -> Void = { handle, code, partitions, number in
      guard let callbacks = unsafe NativeCallbacks.of(handle), let handle = unsafe handle else { return }
      let error = code == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaError(code, "commit of offsets")
      let offsets = unsafe NativePartitionList.offsets(of: partitions, "commit of")
      callbacks.record(.answered(commit: UInt64(UInt(bitPattern: number)), error: error, offsets: offsets))
      unsafe NativeCallbacks.endWait(of: handle)
    }

  /// Ends the poll that runs this callback once its queue is empty. Not `rd_kafka_yield`: librdkafka 2.0's batch call looks
  /// at that one only after it has taken the next message, and drops the message: a record is lost, in silence, and the
  /// handle can never be destroyed.
  private static func endWait(of handle: OpaquePointer) {
    guard let queue = unsafe rd_kafka_queue_get_consumer(handle) else { return }
    unsafe rd_kafka_queue_yield(queue)
    unsafe rd_kafka_queue_destroy(queue)
  }

  private static func of(_ handle: OpaquePointer?) -> NativeCallbacks? {
    guard let handle = unsafe handle, let opaque = unsafe rd_kafka_opaque(handle) else { return nil }
    return unsafe Unmanaged<NativeCallbacks>.fromOpaque(opaque).takeUnretainedValue()
  }

  private func rebalanced(
    _ handle: OpaquePointer, _ code: rd_kafka_resp_err_t,
    _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
  ) {
    isJoining.store(false, ordering: .sequentiallyConsistent)
    let isClosing = state.withLock { $0.isClosing }
    let partitions = unsafe NativePartitionList.partitions(of: list)
    switch code {
    case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS where isClosing:
      let none = NativePartitionList()
      unsafe Self.discard(rd_kafka_incremental_assign(handle, none.pointer))
    case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
      record(.given(partitions))
    case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS where isClosing:
      // Refused where the list names what was offered and never assigned; librdkafka still waits for a call.
      if unsafe Self.discard(rd_kafka_incremental_unassign(handle, list)) {
        let none = NativePartitionList()
        unsafe Self.discard(rd_kafka_incremental_unassign(handle, none.pointer))
      }
    case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
      record(.askedBack(partitions, isLost: unsafe rd_kafka_assignment_lost(handle) != 0))
    default:
      record(.error(KafkaError(code, "rebalance of \(partitions.count) partitions")))
    }
  }

  /// While closing, a refusal is nobody's concern: the handle goes away.
  /// - Returns: whether there was one.
  @discardableResult private static func discard(_ error: OpaquePointer?) -> Bool {
    guard let error = unsafe error else { return false }
    unsafe rd_kafka_error_destroy(error)
    return true
  }

  private func failed(_ handle: OpaquePointer, _ code: Int32, _ reason: String) {
    guard code != RD_KAFKA_RESP_ERR__FATAL.rawValue else {
      return record(.fatal(unsafe Self.fatalError(of: handle, reason)))
    }
    let error = KafkaError(rd_kafka_resp_err_t(rawValue: code), "librdkafka", detail: reason)
    state.withLock { state in
      // Words about credentials explain more than those about connections that follow from them.
      if state.lastError?.code != .authentication || error.code == .authentication { state.lastError = error }
    }
    record(.error(error))
  }

  @unsafe static func fatalError(of handle: OpaquePointer, _ fallback: String) -> KafkaError {
    let capacity = 512
    let words = UnsafeMutablePointer<CChar>.allocate(capacity: capacity)
    defer { unsafe words.deallocate() }
    unsafe words[0] = 0
    let code = unsafe rd_kafka_fatal_error(handle, words, capacity)
    guard code != RD_KAFKA_RESP_ERR_NO_ERROR else {
      return KafkaError(RD_KAFKA_RESP_ERR__FATAL, "fatal error", detail: fallback, isFatal: true)
    }
    return unsafe KafkaError(code, "fatal error", detail: String(cString: words), isFatal: true)
  }

  /// Called on a broker's thread.
  private func sent(request key: Int16) {
    switch key {
    case 8: commitRequests.add(1, ordering: .sequentiallyConsistent)
    case 11: isJoining.store(true, ordering: .sequentiallyConsistent)
    default: break
    }
  }

  private func log(_ level: Int32, _ facility: String, _ line: String) {
    if facility == "CONFWARN", PropertyTable.misnamed.contains(where: line.contains) { return }
    let severity: LogLevel =
      switch level {
      case ...2: .critical
      case 3: .error
      case 4: .warning
      case 5: .notice
      case 6: .info
      default: .debug
      }
    logger.log(severity, line, ["facility": facility])
  }
}
