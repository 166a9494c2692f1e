/// What librdkafka, a broker through it, or this library refused: what happened, to what, and what to do about it.
public struct KafkaError: Error, Sendable, CustomStringConvertible {
  /// What a caller may want to tell apart; librdkafka's own number is in `nativeCode`.
  public enum Code: String, Sendable, Hashable {
    /// A property, its value, or two that do not go together.
    case configuration
    /// An argument of a call, an unknown partition for instance.
    case invalidArgument
    /// The call does not fit what the client is doing now; a second active run for instance.
    case state
    /// Credentials, mechanism or certificate were refused.
    case authentication
    /// The credentials are good and lack a permission.
    case authorization
    /// No connection, or it broke.
    case transport
    case timedOut
    case unknownTopicOrPartition
    case topicExists
    /// The offset asked for is not, or no longer, in the partition.
    case offsetOutOfRange
    /// Another process uses our `instanceID` or our producer's identity.
    case fenced
    /// The group has moved on: another generation, an unknown member, a rebalance.
    case staleMember
    /// A commit's partitions were taken from us before it was sent.
    case assignmentLost
    /// The handler kept the consumer's thread longer than `max.poll.interval.ms`.
    case maxPollExceeded
    /// The producer's local queue is full: wait for deliveries.
    case queueFull
    case messageTooLarge
    case offsetMetadataTooLarge
    /// Another error of a broker: see `nativeName`.
    case broker
    /// Another error of librdkafka itself: see `nativeName`.
    case library
  }

  public let code: Code
  /// librdkafka's `rd_kafka_resp_err_t`: positive from a broker, negative its own, 0 where it named none.
  public let nativeCode: Int32
  /// librdkafka's name for it, `UNKNOWN_TOPIC_OR_PART` for instance; empty where it named none.
  public let nativeName: String
  /// Names the thing, the value and what to do. Never holds a secret.
  public let message: String
  /// The same call may succeed later without any change by an operator.
  public let isRetriable: Bool
  /// This client handle can do no more; only a new one can.
  public let isFatal: Bool

  public init(
    code: Code, message: String, nativeCode: Int32 = 0, nativeName: String = "", isRetriable: Bool = false,
    isFatal: Bool = false
  ) {
    self.code = code
    self.message = message
    self.nativeCode = nativeCode
    self.nativeName = nativeName
    self.isRetriable = isRetriable
    self.isFatal = isFatal
  }

  public var description: String { nativeName.isEmpty ? message : "\(message) (\(nativeName), \(nativeCode))" }
}
