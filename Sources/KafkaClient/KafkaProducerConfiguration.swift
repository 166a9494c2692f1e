public import SinkTelemetry

/// Everything that a producer is told. It is always idempotent with `acks=all`: what is reported as delivered is in the
/// partition exactly once and on all in-sync replicas.
public struct KafkaProducerConfiguration: Sendable {
  /// `host:port` of some brokers of the cluster.
  public var brokers: [String]
  public var security: KafkaSecurity = .plaintext
  /// How long a record waits for others of its partition to share a request.
  public var linger: Duration = .milliseconds(5)
  /// From `send` to the last attempt; then the delivery is an error (`timedOut`).
  public var deliveryTimeout: Duration = .seconds(120)
  /// The bound of the local queue; beyond it `send` is refused with `queueFull`.
  public var queuedMaxRecords = 100_000
  public var queuedMaxKilobytes = 65_536
  /// The largest record, in bytes, that is sent; the broker has its own limit.
  public var recordMaxBytes = 1_000_000
  public var clientID = "sinkctl"
  /// Any property of librdkafka under its own name; see `KafkaConsumerConfiguration.properties`.
  public var properties: [String: String] = [:]
  public var logger = Logger(source: "KafkaClient")

  public init(brokers: [String], security: KafkaSecurity = .plaintext) {
    self.brokers = brokers
    self.security = security
  }
}
