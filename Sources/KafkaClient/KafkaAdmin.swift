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

  /// - Parameter isolation: with `readCommitted` a log ends where the first open transaction begins.
  /// - Throws: `configuration`.
  public init(
    brokers: [String], security: KafkaSecurity = .plaintext, properties: [String: String] = [:],
    isolation: IsolationLevel = .readCommitted, clientID: String = "sinkctl",
    logger: Logger = Logger(source: "KafkaClient")
  ) throws(KafkaError) {
    core = try AdminCore(
      brokers: brokers, security: security, properties: properties, isolation: isolation, clientID: clientID,
      logger: logger)
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

  /// What this user may do with topics (KIP-430), where a broker tells; where it has no ACLs, everything.
  /// - Returns: without topics that are not there or may not be seen; nil with a librdkafka before 2.3, which cannot ask.
  /// - Throws: `timedOut`, …
  public func operations(
    on topics: [String], within timeout: Duration
  ) async throws(KafkaError) -> [String: Set<TopicOperation>]? {
    try await core.operations(on: topics, within: timeout)
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

  /// Sets what a group has committed (KIP-396), offset and metadata, for all of these partitions in one request.
  ///
  /// A broker takes it while the group has no members; else it refuses each partition (`staleMember`). The request is not
  /// atomic: look at each partition's `error`.
  /// - Returns: each partition with its own error.
  /// - Throws: what refused all of it; after `timedOut` or `transport` it may be written, now or later.
  public func alterCommittedOffsets(
    group: String, _ offsets: [CommittedOffset], within timeout: Duration
  ) async throws(KafkaError) -> [CommittedOffset] {
    try await core.alterCommittedOffsets(group: group, offsets, within: timeout)
  }

  /// Who is in a group now. A group that nobody has heard of is `dead`.
  /// - Throws: `authorization`, `timedOut`, …
  public func describeGroup(_ group: String, within timeout: Duration) async throws(KafkaError) -> Group {
    try await core.describeGroup(group, within: timeout)
  }

  /// Where in their logs these partitions begin, end, or were at a time; asked of all leaders at once.
  /// - Returns: each partition with its own error; `offset` is nil where no record is that new.
  public func offsets(
    _ partitions: [TopicPartition], at position: LogPosition, within timeout: Duration
  ) async throws(KafkaError) -> [CommittedOffset] {
    try await core.offsets(partitions, at: position, within: timeout)
  }
}

/// A place in a partition's log.
public enum LogPosition: Sendable, Hashable {
  /// The first offset that is still there.
  case earliest
  /// The offset after the last that a reader may see.
  case latest
  /// The first record that is as new: milliseconds since 1970 UTC.
  case time(Int64)
}

extension KafkaAdmin {
  /// What an ACL may allow on a topic, with Kafka's numbers.
  public enum TopicOperation: UInt32, Sendable {
    case read = 3
    case write, create, delete, alter, describe
    case describeConfigs = 10
    case alterConfigs
  }

  /// Kafka's own names.
  public enum GroupState: String, Sendable, CaseIterable {
    case unknown = "Unknown"
    case preparingRebalance = "PreparingRebalance"
    case completingRebalance = "CompletingRebalance"
    case stable = "Stable"
    /// There is no such group.
    case dead = "Dead"
    /// Offsets and no members.
    case empty = "Empty"
  }

  public struct GroupMember: Sendable, Equatable {
    /// The broker's name for it: its instance id, or a dynamic member's client id, and a UUID behind it.
    public let id: String
    public let clientID: String
    /// As the broker sees it: `/10.0.0.7`.
    public let host: String
    public let partitions: [TopicPartition]

    /// nil for a dynamic member, and for a static one whose instance id is its client id: brokers tell it in `id` alone.
    public var instanceID: String? {
      let uuidLength = 36
      guard id.utf8.count > uuidLength + 1, id.dropLast(uuidLength).last == "-" else { return nil }
      let name = String(id.dropLast(uuidLength + 1))
      return name == clientID ? nil : name
    }
  }

  public struct Group: Sendable, Equatable {
    public let state: GroupState
    /// `cooperative-sticky` for instance; empty without members.
    public let assignor: String
    public let members: [GroupMember]
  }
}
