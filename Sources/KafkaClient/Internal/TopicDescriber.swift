internal import CRdKafka
internal import Glibc
internal import SinkThreads

/// Topics' ids, and what their user may do, by `rd_kafka_DescribeTopics`, which librdkafka has since 2.3.0 and the headers
/// of an older one do not know: its functions are looked up in the library that the process runs with.
///
/// It goes to the controller. Unlike the requests to a group's coordinator, whose late answers abort the process
/// (librdkafka issue 4605), each such request holds exactly one reference to its operation, which its one answer gives
/// back; an operation that has timed out is gone from there by then, and the answer is dropped.
@unsafe struct TopicDescriber: Sendable {
  private typealias NewNames = @convention(c) (UnsafeMutablePointer<UnsafePointer<CChar>?>?, Int) -> OpaquePointer?
  private typealias Describe = @convention(c) (OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?) -> Void
  private typealias List =
    @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int>?)
    -> UnsafeMutablePointer<OpaquePointer?>?
  private typealias Part = @convention(c) (OpaquePointer?) -> OpaquePointer?
  private typealias Text = @convention(c) (OpaquePointer?) -> UnsafePointer<CChar>?
  private typealias Number = @convention(c) (OpaquePointer?) -> Int64
  private typealias Free = @convention(c) (OpaquePointer?) -> Void
  private typealias Switch = @convention(c) (OpaquePointer?, CInt) -> OpaquePointer?
  private typealias Operations =
    @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int>?) -> UnsafePointer<rd_kafka_AclOperation_t>?

  /// `RD_KAFKA_ADMIN_OP_DESCRIBETOPICS`.
  static let operation = rd_kafka_admin_op_t(rawValue: 19)

  static let loaded: TopicDescriber? = unsafe TopicDescriber()

  private let newNames: NewNames
  private let freeNames: Free
  private let describe: Describe
  private let result: Part
  private let topics: List
  private let name: Text
  private let id: Part
  private let error: Part
  private let high: Number
  private let low: Number
  private let includeOperations: Switch
  private let allowed: Operations

  private init?() {
    func find<Function>(_ name: String, _ type: Function.Type) -> Function? {
      unsafe dlsym(nil, "rd_kafka_" + name).map { unsafe unsafeBitCast($0, to: type) }
    }
    guard let newNames = unsafe find("TopicCollection_of_topic_names", NewNames.self),
      let freeNames = unsafe find("TopicCollection_destroy", Free.self),
      let describe = unsafe find("DescribeTopics", Describe.self),
      let result = unsafe find("event_DescribeTopics_result", Part.self),
      let topics = unsafe find("DescribeTopics_result_topics", List.self),
      let name = unsafe find("TopicDescription_name", Text.self),
      let id = unsafe find("TopicDescription_topic_id", Part.self),
      let error = unsafe find("TopicDescription_error", Part.self),
      let high = unsafe find("Uuid_most_significant_bits", Number.self),
      let low = unsafe find("Uuid_least_significant_bits", Number.self),
      let includeOperations = unsafe find("AdminOptions_set_include_authorized_operations", Switch.self),
      let allowed = unsafe find("TopicDescription_authorized_operations", Operations.self)
    else { return nil }
    unsafe (self.newNames, self.freeNames, self.describe, self.result) = (newNames, freeNames, describe, result)
    unsafe (self.topics, self.name, self.id, self.error) = (topics, name, id, error)
    unsafe (self.high, self.low, self.includeOperations, self.allowed) = (high, low, includeOperations, allowed)
  }

  /// Blocks at most for `timeout`.
  /// - Returns: nothing for topics that are not there, and from brokers that give topics no ids.
  func ids(
    of names: [String], _ handle: OpaquePointer, timeout: Duration
  ) throws(KafkaError) -> [String: TopicID] {
    let subject = "ids of topics"
    let queue = unsafe rd_kafka_queue_new(handle)
    defer { unsafe rd_kafka_queue_destroy(queue) }
    let options = unsafe rd_kafka_AdminOptions_new(handle, Self.operation)
    defer { unsafe rd_kafka_AdminOptions_destroy(options) }
    unsafe rd_kafka_AdminOptions_set_request_timeout(options, timeout.milliseconds, nil, 0)
    unsafe send(names, handle, options, queue)
    guard let event = unsafe rd_kafka_queue_poll(queue, timeout.milliseconds) else {
      throw KafkaError(RD_KAFKA_RESP_ERR__TIMED_OUT, subject)
    }
    defer { unsafe rd_kafka_event_destroy(event) }
    let code = unsafe rd_kafka_event_error(event)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw unsafe KafkaError(code, subject, detail: String(cString: rd_kafka_event_error_string(event)))
    }
    var found: [String: TopicID] = [:]
    unsafe forEachTopic(of: event) { name, topic in
      guard let number = unsafe id(topic) else { return }
      let id = unsafe TopicID(high: UInt64(bitPattern: high(number)), low: UInt64(bitPattern: low(number)))
      if id.high != 0 || id.low != 0 { found[name] = id }
    }
    return found
  }

  /// The answer comes to the queue.
  func send(_ names: [String], _ handle: OpaquePointer, _ options: OpaquePointer?, _ queue: OpaquePointer?) {
    let texts = unsafe names.map { name in unsafe UnsafePointer(strdup(name)) }
    defer { for index in names.indices { unsafe free(UnsafeMutableRawPointer(mutating: texts[index])) } }
    var pointers = unsafe texts
    let collection = unsafe pointers.withUnsafeMutableBufferPointer { unsafe newNames($0.baseAddress, $0.count) }
    defer { unsafe freeNames(collection) }
    unsafe describe(handle, collection, options, queue)
  }

  /// Has the answer say what the user may do (KIP-430).
  func askForOperations(_ options: OpaquePointer?) {
    if let error = unsafe includeOperations(options, 1) { unsafe rd_kafka_error_destroy(error) }
  }

  /// - Returns: nothing for topics of which the broker does not say.
  func operations(in event: OpaquePointer) -> [String: Set<KafkaAdmin.TopicOperation>] {
    var found: [String: Set<KafkaAdmin.TopicOperation>] = [:]
    unsafe forEachTopic(of: event) { name, topic in
      var count = 0
      guard let list = unsafe allowed(topic, &count) else { return }
      let known = (0..<count).compactMap { unsafe KafkaAdmin.TopicOperation(rawValue: list[$0].rawValue) }
      found[name] = Set(known)
    }
    return found
  }

  private func forEachTopic(of event: OpaquePointer, _ body: (String, OpaquePointer) -> Void) {
    var count = 0
    let list = unsafe topics(result(event), &count)
    for index in 0..<count {
      guard let topic = unsafe list?[index], unsafe error(topic) == nil, let text = unsafe name(topic) else { continue }
      unsafe body(String(cString: text), topic)
    }
  }
}
