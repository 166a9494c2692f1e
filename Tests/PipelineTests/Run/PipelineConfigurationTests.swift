import ClickHouseClient
import KafkaClient
import Pipeline
import Testing

@Suite struct PipelineConfigurationTests {
  private func problems(_ change: (inout PipelineConfiguration) -> Void) -> [String] {
    var configuration = PipelineConfiguration(
      kafka: KafkaConsumerConfiguration(brokers: ["localhost:1"], group: "g"),
      clickhouse: ClickHouseConfiguration(url: "http://localhost:1"),
      routes: [RouteConfiguration(topics: ["events"], table: "events")])
    change(&configuration)
    return configuration.validate()
  }

  @Test func whatCanWorkHasNoProblems() { #expect(problems { _ in } == []) }

  /// Each alone, by what its sentence must hold.
  @Test(arguments: [
    "no route", "has no topic", "without a name", "max_rows", "max_bytes", "linger", "inserts_in_flight",
    "at least 8MiB",
    "beside Kafka's queue", "at most", "limits.drain", "commit_interval", "commitDeadline", "retry waits", "waits from",
  ]) func whatCannotWorkIsNamed(words: String) {
    let found = problems {
      switch words {
      case "no route": $0.routes = []
      case "has no topic": $0.routes[0].topics = []
      case "without a name": $0.routes[0].topics = [""]
      case "max_rows": $0.routes[0].block.maxRows = 0
      case "max_bytes": $0.routes[0].block.maxBytes = 1
      case "linger": $0.routes[0].block.linger = .zero
      case "inserts_in_flight": $0.limits.insertsInFlight = 0
      case "at least 8MiB": $0.limits.memoryBytes = 1 << 20
      case "beside Kafka's queue": $0.kafka.queuedMaxKilobytes = .max
      case "at most": $0.limits.memoryBytes = .max
      case "limits.drain": $0.limits.drain = .zero
      case "commit_interval": $0.limits.commitInterval = .zero
      case "commitDeadline": $0.limits.commitDeadline = .seconds(-1)
      case "retry waits": $0.retry.initial = .seconds(-1)
      default: $0.retry.cap = .milliseconds(1)
      }
    }
    #expect(found.count == 1 && found[0].contains(words), "\(found)")
  }

  /// Each dead letter of such a route would come again, without end.
  @Test(
    arguments: [
      (["events"], "events", [], true), (["^events.*"], "events.dead", [], true),
      (["^events$"], "events.dead", [], false),
      (["events"], "events.dead", ["events.dead"], false), (["^events.*"], "events.dead", ["events.dead"], false),
    ] as [([String], String, [String], Bool)])
  func aRouteDoesNotReadItsDeadLetters(topics: [String], dead: String, others: [String], isRefused: Bool) {
    let found = problems {
      $0.routes[0].topics = topics
      $0.routes[0].deadLetters = .topic(dead)
      // Dead letters may be read, by a route that has others.
      if !others.isEmpty { $0.routes.append(RouteConfiguration(topics: others, table: "dead", deadLetters: .skip)) }
    }
    #expect(found.count == (isRefused ? 1 : 0) && found.allSatisfy { $0.contains(dead) }, "\(found)")
  }
}
