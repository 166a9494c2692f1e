internal import CRdKafka

/// The librdkafka that the process runs with, which may be newer than the one it was built against.
public enum KafkaLibrary {
  /// `2.0.2` for instance.
  public static let version = unsafe String(cString: rd_kafka_version_str())

  /// `0xMMmmrrxx`: major, minor, revision, pre-release.
  public static let versionNumber = rd_kafka_version()

  /// librdkafka before 2.6.1 sends the client's nonce twice in SCRAM, which Kafka 4.x refuses as invalid credentials.
  public static let scramNeedsNewerLibrary = versionNumber < 0x0206_01ff

  /// See `NativeClosing.letJoinEnd`.
  static let abortsWithinJoin = versionNumber < 0x0203_00ff
}
