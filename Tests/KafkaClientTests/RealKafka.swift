import Foundation
import KafkaClient
import TestServers
import Testing

/// Runs a suite with a broker of each version, which its tests share; each test has topics and groups of its own.
struct RealKafka: SuiteTrait, TestScoping {
  static let versions = ["3.9.2", "4.4.0"]
  @TaskLocal static var brokers: [String: KafkaBroker] = [:]

  var options = KafkaBroker.Options()

  @concurrent func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable @concurrent () async throws -> Void
  ) async throws {
    guard TestMachine.kafkaScript != nil else { return try await function() }
    async let first = KafkaBroker.start(version: Self.versions[0], options)
    async let second = KafkaBroker.start(version: Self.versions[1], options)
    let brokers = try await [Self.versions[0]: first, Self.versions[1]: second]
    try await Self.$brokers.withValue(brokers) { try await function() }
    extendLifetime(brokers)
  }

  static func broker(_ version: String) throws -> KafkaBroker {
    try #require(brokers[version], "the suite has no RealKafka trait")
  }
}

extension Trait where Self == ConditionTrait {
  static var needsKafka: Self {
    .enabled(
      if: TestMachine.kafkaScript != nil && FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl"),
      "needs Java, openssl and a Kafka start script (SINK_KAFKA_BROKER_SCRIPT)")
  }
}

/// Everything on real brokers, one suite after the other.
@Suite(.serialized, .needsKafka, RealKafka(options: SecuredKafka.options)) struct RealKafkaTests {}

/// What the shared brokers have beside the plain listener.
enum SecuredKafka {
  static let certificates: TestCertificates? = try? TestCertificates(
    in: FileManager.default.temporaryDirectory.appending(path: "sinkctl-certificates-\(UUID().uuidString)"))

  /// For the fault proxy, then for the slow one.
  static let proxyPorts = (try? FreePorts.pick(2)) ?? []

  static var options: KafkaBroker.Options {
    var options = KafkaBroker.Options()
    options.certificates = certificates
    options.users = ["ada": "correct horse"]
    options.proxies = proxyPorts
    // Retention and compaction that a test can wait for.
    options.properties = [
      "log.retention.check.interval.ms": "200", "log.initial.task.delay.ms": "100", "log.cleaner.backoff.ms": "100",
      "log.segment.delete.delay.ms": "100",
    ]
    return options
  }
}

/// A topic of a test's own, with `records` records spread over its partitions.
func makeTopic(
  on broker: String, partitions: Int = 1, records: Int = 0, settings: [String: String] = [:]
) async throws -> String {
  let topic = "t-\(UUID().uuidString)"
  let admin = try KafkaAdmin(brokers: [broker])
  try await admin.createTopic(topic, partitions: partitions, settings: settings, within: .patience)
  try await produce(records, to: topic, on: broker, partitions: partitions)
  return topic
}

func produce(_ records: Int, to topic: String, on broker: String, partitions: Int = 1) async throws {
  guard records > 0 else { return }
  let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: [broker]))
  for index in 0..<records {
    try producer.send(topic: topic, partition: Int32(index % partitions), value: Array("\(index)".utf8)) { _ in }
  }
  try await producer.flush(within: .patience)
  await producer.close(within: .seconds(5))
}
