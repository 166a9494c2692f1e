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
    .enabled(if: TestMachine.kafkaScript != nil, "needs Java and a Kafka start script (SINK_KAFKA_BROKER_SCRIPT)")
  }
}

/// Everything on real brokers, one suite after the other.
@Suite(.serialized, .needsKafka, RealKafka(options: SecuredKafka.options)) struct RealKafkaTests {}

extension Duration {
  /// For waits that end as soon as what they wait for is there.
  static let patience = Duration.seconds(60)
}

/// Waits until it is so; the message says what did not come.
func eventually(
  _ what: String, within timeout: Duration = .patience, sourceLocation: SourceLocation = #_sourceLocation,
  _ condition: () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + timeout
  while try await !condition() {
    guard ContinuousClock.now < deadline else {
      Issue.record("not within \(timeout): \(what)", sourceLocation: sourceLocation)
      throw Timeout()
    }
    try await Task.sleep(for: .milliseconds(10))
  }
}

struct Timeout: Error {}
