internal import CRdKafka
internal import SinkThreads
internal import Synchronization

/// Owns a producer's `rd_kafka_t` and the thread that serves its delivery reports.
final class ProducerCore: Sendable {
  /// Sendable: librdkafka's producer calls may come from any thread; the lock keeps the handle alive under a caller.
  @safe private struct Native: @unchecked Sendable {
    let handle: OpaquePointer
    let queue: OpaquePointer
  }

  private struct State {
    var native: Native?
    var isClosing = false
    var flushes: [Flush] = []
    /// Senders that found the queue full.
    var waiting: [OneShot<Void>] = []
    var drainDeadline: MonotonicInstant?
  }

  private struct Flush: Sendable {
    let deadline: MonotonicInstant
    let end: OneShot<Int>
  }

  /// What travels with a record as its opaque value.
  private final class Ticket: Sendable {
    let completion: KafkaProducer.Completion
    init(_ completion: @escaping KafkaProducer.Completion) { self.completion = completion }
  }

  /// The longest wait without looking around; whoever has something to say calls at the door.
  private static let waitMax: Int32 = 1000
  /// While somebody flushes: how late the end of it is noticed.
  private static let flushStep: Int32 = 20
  private static let purgePatience = Duration.seconds(5)

  private let callbacks: NativeCallbacks
  private let door = WakeDoor()
  private let state: Mutex<State>
  private let ended = OneShot<Void>()
  private let clock = TimeSource.system

  init(_ configuration: KafkaProducerConfiguration) throws(KafkaError) {
    let callbacks = NativeCallbacks(configuration.logger)
    let handle = try unsafe NativeConfiguration(PropertyTable.producer(configuration)).open(
      RD_KAFKA_PRODUCER, callbacks)
    unsafe rd_kafka_set_log_queue(handle, nil)
    let native = unsafe Native(handle: handle, queue: rd_kafka_queue_get_main(handle))
    self.callbacks = callbacks
    unsafe door.open(native.queue)
    state = Mutex(State(native: native))
    NamedThread(name: "kafka-producer") { self.serve(native) }.detach()
  }

  /// Delivery reports: the opaque value of each record is a retained ticket.
  @unsafe static func installDeliveryReports(in configuration: OpaquePointer) {
    unsafe rd_kafka_conf_set_dr_msg_cb(configuration) { _, message, _ in
      guard let message = unsafe message, let opaque = unsafe message.pointee._private else { return }
      let ticket = unsafe Unmanaged<Ticket>.fromOpaque(opaque).takeRetainedValue()
      let code = unsafe message.pointee.err
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
        let topic = unsafe message.pointee.rkt.map { unsafe String(cString: rd_kafka_topic_name($0)) } ?? ""
        let partition = unsafe message.pointee.partition
        return ticket.completion(
          .failure(KafkaError(code, "delivery to \(topic)\(partition < 0 ? "" : "/\(partition)")")))
      }
      unsafe ticket.completion(.success((message.pointee.partition, message.pointee.offset)))
    }
  }

  func send(
    topic: String, partition: Int32?, key: [UInt8]?, value: [UInt8]?, headers: [Record.Header],
    timestampMilliseconds: Int64?, completion: @escaping KafkaProducer.Completion
  ) throws(KafkaError) {
    let ticket = unsafe Unmanaged.passRetained(Ticket(completion)).toOpaque()
    let failure: KafkaError? = state.withLock { state in
      guard let native = state.native, !state.isClosing else {
        return .state("send to \(topic): the producer is closed")
      }
      var message = NativeMessage(topic: topic, partition: partition, timestampMilliseconds: timestampMilliseconds)
      for header in headers { message.add(header) }
      return unsafe message.produce(native.handle, key: key, value: value, opaque: ticket)
    }
    guard let failure else { return }
    unsafe Unmanaged<Ticket>.fromOpaque(ticket).release()
    throw failure
  }

  /// Returns when deliveries may have ended since the call.
  func waitForRoom() async {
    let room = OneShot<Void>()
    let isOpen = state.withLock { state in
      guard state.native != nil else { return false }
      state.waiting.append(room)
      return true
    }
    guard isOpen else { return }
    await room.value
  }

  var pendingCount: Int {
    state.withLock { state in
      guard let native = state.native else { return 0 }
      return Int(unsafe rd_kafka_outq_len(native.handle))
    }
  }

  func flush(within timeout: Duration) async throws(KafkaError) {
    let end = OneShot<Int>()
    let deadline = clock.monotonic() + timeout
    let isOpen = state.withLock { state in
      guard state.native != nil else { return false }
      state.flushes.append(Flush(deadline: deadline, end: end))
      return true
    }
    guard isOpen else { return }
    door.wake()
    let pending = await end.value
    guard pending > 0 else { return }
    throw KafkaError(
      code: .timedOut, message: "flush: \(pending) records are not delivered after \(timeout)", isRetriable: true)
  }

  func close(within timeout: Duration) async {
    requestClose(clock.monotonic() + timeout)
    await ended.value
  }

  /// Without waiting: what is pending gets a second, then completes with an error.
  func abandon() { requestClose(clock.monotonic() + .seconds(1)) }

  private func requestClose(_ deadline: MonotonicInstant) {
    state.withLock { state in
      state.isClosing = true
      state.drainDeadline = min(state.drainDeadline ?? deadline, deadline)
    }
    door.wake()
  }

  // MARK: The producer's thread

  private func serve(_ native: Native) {
    while true {
      _ = door.takeWish()
      let (isFlushing, drainDeadline) = state.withLock { (!$0.flushes.isEmpty, $0.drainDeadline) }
      if isFlushing || drainDeadline != nil {
        // Sends without lingering, and serves what comes.
        _ = unsafe rd_kafka_flush(native.handle, Self.flushStep)
      } else {
        _ = unsafe rd_kafka_poll(native.handle, door.hasWish ? 0 : Self.waitMax)
      }
      // Errors of connections are in librdkafka's log lines, and a delivery reports its own.
      _ = callbacks.takeNotes()
      let pending = Int(unsafe rd_kafka_outq_len(native.handle))
      endFlushes(pending)
      endWaits()
      if let drainDeadline, pending == 0 || drainDeadline <= clock.monotonic() { break }
    }
    end(native)
  }

  private func end(_ native: Native) {
    // Purging completes what is left, with an error, before the handle goes.
    unsafe rd_kafka_purge(native.handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
    let deadline = clock.monotonic() + Self.purgePatience
    while unsafe rd_kafka_outq_len(native.handle) > 0, clock.monotonic() < deadline {
      unsafe rd_kafka_poll(native.handle, Self.flushStep)
    }
    state.withLock { $0.native = nil }
    endFlushes(0)
    endWaits()
    door.shut()
    unsafe rd_kafka_queue_destroy(native.queue)
    unsafe Reaper.destroy(native.handle, keeping: callbacks)
    ended.resolve(())
  }

  private func endWaits() {
    let over = state.withLock { state in
      let over = state.waiting
      state.waiting = []
      return over
    }
    for room in over { room.resolve(()) }
  }

  private func endFlushes(_ pending: Int) {
    let now = clock.monotonic()
    let over = state.withLock { state in
      let over = state.flushes.filter { pending == 0 || $0.deadline <= now }
      state.flushes.removeAll { pending == 0 || $0.deadline <= now }
      return over
    }
    for flush in over { flush.end.resolve(pending) }
  }
}
