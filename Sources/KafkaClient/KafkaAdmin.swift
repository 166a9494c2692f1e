public import SinkTelemetry

/// What can be asked of, and changed in, a cluster: for checks, tools and tests. Calls may overlap.
public final class KafkaAdmin: Sendable {
  public struct Partition: Sendable {
    public let partition: Int32
    /// nil while there is none.
    public let leader: Int32?
    public let replicas: [Int32]
    public let inSyncReplicas: [Int32]
  }

  public struct Topic: Sendable {
    public let name: String
    public let partitions: [Partition]
    /// Why there is no more to say: unknown, not authorised.
    public let error: KafkaError?
  }

  public struct Cluster: Sendable {
    /// `host:port`, by broker id.
    public let brokers: [Int32: String]
    public let controller: Int32?
    public let clusterID: String?
    public let topics: [Topic]
  }

  let core: AdminCore

  public init(
    brokers: [String], security: KafkaSecurity = .plaintext, properties: [String: String] = [:],
    clientID: String = "sinkctl", logger: Logger = Logger(source: "KafkaClient")
  ) throws(KafkaError) {
    core = try AdminCore(
      brokers: brokers, security: security, properties: properties, clientID: clientID, logger: logger)
  }

  /// Brokers and topics.
  /// - Parameter topic: nil: all of them; asking for one by name may create it where the broker does so by itself.
  /// - Throws: `authentication` or `transport` with librdkafka's last words, `timedOut`.
  public func metadata(topic: String? = nil, within timeout: Duration) async throws(KafkaError) -> Cluster {
    try await core.metadata(topic: topic, within: timeout)
  }

  /// - Parameter settings: topic configuration, `retention.ms` for instance.
  /// - Throws: `topicExists`, `authorization`, …
  public func createTopic(
    _ name: String, partitions: Int, replication: Int = -1, settings: [String: String] = [:], within timeout: Duration
  ) async throws(KafkaError) {
    try await core.createTopic(
      name, partitions: partitions, replication: replication, settings: settings, within: timeout)
  }

  public func deleteTopic(_ name: String, within timeout: Duration) async throws(KafkaError) {
    try await core.deleteTopic(name, within: timeout)
  }

  /// Makes the topic have `total` partitions.
  public func addPartitions(_ name: String, total: Int, within timeout: Duration) async throws(KafkaError) {
    try await core.addPartitions(name, total: total, within: timeout)
  }

  /// The first offset that the partition still has, and the one after the last.
  public func watermarks(
    _ partition: TopicPartition, within timeout: Duration
  ) async throws(KafkaError) -> (low: Int64, high: Int64) {
    try await core.watermarks(partition, within: timeout)
  }

  /// What a group has committed for these partitions, with metadata.
  public func committedOffsets(
    group: String, _ partitions: [TopicPartition], within timeout: Duration
  ) async throws(KafkaError) -> [CommittedOffset] {
    try await core.committedOffsets(group: group, partitions, within: timeout)
  }
}
