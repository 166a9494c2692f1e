internal import CRdKafka
public import KafkaClient
internal import Synchronization

/// A Kafka cluster inside this process, on loopback: librdkafka's own mock. It has topics, consumer groups, commits,
/// idempotent producers, and faults on request; clients reach it through `bootstrap` like a real one.
///
/// Bounds: a partition keeps 5 MB or 100,000 records and drops older ones silently, so a producer must not be further
/// ahead of the reader than that. A new group's first assignment takes 3 s, and one that its last member has left keeps
/// the next member waiting for the session timeout less a second: give consumers a short one. Regular expressions, transactions and ACLs are a real broker's.
public final class MockCluster: Sendable {
  /// Kafka's numbers for the requests that tests like to refuse.
  public enum Request: Int16, Sendable {
    case produce = 0
    case fetch = 1
    case listOffsets = 2
    case metadata = 3
    case offsetCommit = 8
    case offsetFetch = 9
    case findCoordinator = 10
    case joinGroup = 11
    case heartbeat = 12
    case syncGroup = 14
    case initProducerID = 22
  }

  /// Kafka's numbers for some errors that a broker answers with.
  public enum BrokerError: Int32, Sendable {
    case offsetOutOfRange = 1
    case notLeaderForPartition = 6
    case requestTimedOut = 7
    case offsetMetadataTooLarge = 12
    case coordinatorLoadInProgress = 14
    case coordinatorNotAvailable = 15
    case notCoordinator = 16
    case topicAuthorizationFailed = 29
    case groupAuthorizationFailed = 30
    case illegalGeneration = 22
    case unknownMemberID = 25
    case rebalanceInProgress = 27
    case messageTooLarge = 10
    case fencedInstanceID = 82
    /// Not an answer: the connection breaks.
    case disconnect = -195
  }

  /// Sendable: every call is made under the lock.
  @safe private struct Native: @unchecked Sendable {
    let handle: OpaquePointer
    let cluster: OpaquePointer
  }

  /// `host:port` of each broker, for `KafkaConsumerConfiguration.brokers`.
  public let bootstrap: [String]
  private let native: Mutex<Native>

  /// - Parameter brokers: numbered from 1.
  /// - Throws: `library` where librdkafka cannot make it, for want of ports or threads.
  public init(brokers: Int = 1) throws(KafkaError) {
    let words = UnsafeMutablePointer<CChar>.allocate(capacity: 512)
    defer { unsafe words.deallocate() }
    let configuration = unsafe rd_kafka_conf_new()
    // Its own client needs no brokers; librdkafka would say on standard error that it has none.
    unsafe rd_kafka_conf_set(configuration, "log_level", "3", words, 512)
    guard let handle = unsafe rd_kafka_new(RD_KAFKA_PRODUCER, configuration, words, 512) else {
      unsafe rd_kafka_conf_destroy(configuration)
      throw unsafe KafkaError(code: .library, message: "mock cluster: \(String(cString: words))")
    }
    guard
      let cluster = unsafe rd_kafka_mock_cluster_new(handle, Int32(clamping: brokers)),
      let addresses = unsafe rd_kafka_mock_cluster_bootstraps(cluster)
    else {
      unsafe rd_kafka_destroy(handle)
      throw KafkaError(code: .library, message: "mock cluster: librdkafka cannot make one of \(brokers) brokers")
    }
    bootstrap = unsafe String(cString: addresses).split(separator: ",").map(String.init)
    unsafe native = Mutex(Native(handle: handle, cluster: cluster))
  }

  deinit {
    native.withLock { native in
      unsafe rd_kafka_mock_cluster_destroy(native.cluster)
      unsafe rd_kafka_destroy(native.handle)
    }
  }

  /// Topics that a client asks for come into being by themselves, with four partitions; this makes one with another number.
  public func createTopic(_ name: String, partitions: Int, replication: Int = 1) throws(KafkaError) {
    try unsafe call("create topic \(name)") {
      unsafe rd_kafka_mock_topic_create($0, name, Int32(clamping: partitions), Int32(clamping: replication))
    }
  }

  /// The next requests of this kind are answered with these errors, one each, by whichever broker they reach.
  public func refuse(_ request: Request, with errors: [BrokerError]) {
    let codes = errors.map { rd_kafka_resp_err_t(rawValue: $0.rawValue) }
    native.withLock { native in
      unsafe rd_kafka_mock_push_request_errors_array(native.cluster, request.rawValue, codes.count, codes)
    }
  }

  /// Forgets refusals that no request has met yet.
  public func clearRefusals(of request: Request) {
    native.withLock { unsafe rd_kafka_mock_clear_request_errors($0.cluster, request.rawValue) }
  }

  /// Cuts the broker's connections and refuses new ones.
  public func setDown(broker: Int32) throws(KafkaError) {
    try unsafe call("broker \(broker) down") { unsafe rd_kafka_mock_broker_set_down($0, broker) }
  }

  public func setUp(broker: Int32) throws(KafkaError) {
    try unsafe call("broker \(broker) up") { unsafe rd_kafka_mock_broker_set_up($0, broker) }
  }

  /// Moves the partition to another broker.
  public func setLeader(of partition: TopicPartition, to broker: Int32) throws(KafkaError) {
    try unsafe call("leader of \(partition)") {
      unsafe rd_kafka_mock_partition_set_leader($0, partition.topic, partition.partition, broker)
    }
  }

  /// Moves the group's coordinator to another broker.
  public func setCoordinator(ofGroup group: String, to broker: Int32) throws(KafkaError) {
    try unsafe call("coordinator of \(group)") { unsafe rd_kafka_mock_coordinator_set($0, "group", group, broker) }
  }

  @unsafe private func call(
    _ subject: String, _ body: (OpaquePointer) -> rd_kafka_resp_err_t
  ) throws(KafkaError) {
    let code = native.withLock { unsafe body($0.cluster) }
    guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
    let words = unsafe String(cString: rd_kafka_err2str(code))
    throw KafkaError(code: .library, message: "mock cluster, \(subject): \(words)", nativeCode: code.rawValue)
  }
}
