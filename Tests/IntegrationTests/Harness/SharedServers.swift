import ClickHouseClient
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

/// Suites on the mock cluster and an engine: one test at a time, so that none waits for another's share of the machine.
@Suite(.serialized) struct RealServerTests {}

/// Those that start a Kafka of their own go beside them: both wait more than they work.
@Suite(.serialized) struct RealBrokerTests {}

/// What the tests of a suite share, started once: a mock cluster, and the ClickHouse engine of today behind its front.
/// Tests keep apart by the names of their topics, tables and groups.
struct SharedServers: Sendable {
  let brokers: [String]
  let mock: MockCluster
  /// The front's.
  let url: String

  @TaskLocal static var current: SharedServers?

  static func required() throws -> SharedServers { try #require(current, "the suite has the trait .sharedServers") }

  func clickhouse() throws -> ClickHouseClient { try ClickHouseClient(ClickHouseConfiguration(url: url)) }
}

struct SharedServersTrait: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
  ) async throws {
    let (front, url) = try await TestMachine.startFront()
    defer { front.stop() }
    let mock = try MockCluster(brokers: 2)
    let servers = SharedServers(brokers: mock.bootstrap, mock: mock, url: url)
    try await SharedServers.$current.withValue(servers) { try await function() }
  }
}

extension Trait where Self == SharedServersTrait {
  static var sharedServers: Self { Self() }
}

extension Trait where Self == ConditionTrait {
  static var needsEngine: Self { .enabled(if: TestMachine.hasFront, "chdb-core is not installed: run scripts/test") }

  static var needsKafkaAndEngine: Self {
    .enabled(
      if: TestMachine.hasFront && TestMachine.kafkaScript != nil,
      "needs chdb-core, Java and a Kafka start script (SINK_KAFKA_BROKER_SCRIPT)")
  }
}

extension PipelineConfiguration {
  /// Small blocks and short waits. The name is that of the topic, the table and the group.
  static func test(
    _ name: String, brokers: [String], url: String, deadLetters: DeadLetterPolicy = .stop, maxRows: Int = 200
  ) -> PipelineConfiguration {
    var configuration = PipelineConfiguration(
      kafka: KafkaConsumerConfiguration(brokers: brokers, group: name),
      clickhouse: ClickHouseConfiguration(url: url),
      routes: [
        RouteConfiguration(
          topics: [name], table: name, deadLetters: deadLetters,
          block: SealPolicy(maxRows: maxRows, linger: .milliseconds(100)))
      ])
    configuration.retry = RetryPolicy(initial: .milliseconds(50), cap: .milliseconds(500))
    configuration.limits.commitInterval = .milliseconds(100)
    // The mock cluster keeps the place of a member that has left for a session.
    configuration.kafka.sessionTimeout = .seconds(6)
    configuration.kafka.revokeDeadline = .milliseconds(2500)
    return configuration
  }

  /// The same with `delivery: exactly_once`.
  var exactlyOnce: Self {
    var configuration = self
    configuration.routes[0].delivery = .exactlyOnce
    configuration.kafka.instanceID = "one"
    return configuration
  }

  /// The same where a block in doubt is counted soon: that is a session and an insert's deadline later.
  var countingSoon: Self {
    var configuration = self
    configuration.kafka.sessionTimeout = .seconds(3)
    configuration.kafka.revokeDeadline = .milliseconds(1200)
    configuration.clickhouse.requestTimeout = .seconds(2)
    configuration.clickhouse.stallTimeout = .seconds(1)
    return configuration
  }
}
