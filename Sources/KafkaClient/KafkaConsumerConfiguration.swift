public import SinkTelemetry

/// Everything that a consumer is told, as plain values. Checked by `KafkaConsumer.init`.
public struct KafkaConsumerConfiguration: Sendable {
  /// `host:port` of some brokers of the cluster; the rest is found through them.
  public var brokers: [String]
  /// The consumer group: it shares out the partitions and keeps the offsets.
  public var group: String
  /// Static membership (KIP-345): a restart within `sessionTimeout` under the same id costs no rebalance, and a second
  /// process under it fences the first. nil: a dynamic member.
  public var instanceID: String?
  /// Where the group has no offset.
  public var start: StartOffset = .earliest
  public var isolation: IsolationLevel = .readCommitted
  public var security: KafkaSecurity = .plaintext
  /// Without a heartbeat for so long the group gives our partitions to others. The broker bounds it, 6 s to 30 min by
  /// default.
  public var sessionTimeout: Duration = .seconds(45)
  /// How long a handler may take to drain partitions that the group asks back; below half the session timeout.
  public var revokeDeadline: Duration = .seconds(20)
  /// How long `stopping` may take; then the thread closes anyway.
  public var shutdownDeadline: Duration = .seconds(20)
  /// How long closing the handle may take after that (answers of the broker).
  public var closeDeadline: Duration = .seconds(5)
  /// How long a broker collects before it answers a fetch: the first record after a pause comes this much later.
  public var fetchWaitMax: Duration = .milliseconds(50)
  /// The bound of librdkafka's own queue, over all partitions, in KiB.
  public var queuedMaxKilobytes = 16_384
  /// The most that one fetch takes of one partition, in bytes; larger records still come through, alone.
  public var fetchMessageMaxBytes = 262_144
  /// librdkafka goes on fetching a partition while fewer records than this are queued. High, so that the bound in bytes
  /// decides: a full queue makes librdkafka 2.0 pause for a second.
  public var queuedMinMessages = 1_000_000
  /// How often `ConsumerEvent.statistics` comes; nil: never.
  public var statisticsInterval: Duration?
  /// The most records that one call of `ConsumerHandler.records` gets.
  public var batchCapacity = 4096
  /// Shown by brokers in logs, metrics and quotas.
  public var clientID = "sinkctl"
  /// Any property of librdkafka under its own name. Wins over what the fields above mean, except for those that the
  /// delivery protocol stands on: naming one of these with another value is an error.
  public var properties: [String: String] = [:]
  /// librdkafka's lines come under the source `librdkafka`, on the consumer's thread.
  public var logger = Logger(source: "KafkaClient")

  public init(brokers: [String], group: String, instanceID: String? = nil, security: KafkaSecurity = .plaintext) {
    self.brokers = brokers
    self.group = group
    self.instanceID = instanceID
    self.security = security
  }
}
