import Foundation
import KafkaTestKit
import TestServers
import Testing

extension RealBrokerTests {
  /// A short scripts/prove-exactly-once: processes killed at named moments, servers and network that fail, and every row
  /// compared with what the broker acknowledged.
  @Suite(
    .serialized,
    .enabled(
      if: TestMachine.hasFront && TestMachine.hasConfluentKafka,
      "needs PyPI's chdb-core and confluent-kafka: run scripts/test"), .timeLimit(.minutes(10)))
  struct ProofTests {
    /// The last line of `--json`, as far as it is looked at.
    private struct Verdict: Decodable {
      let verdict: String
      let records: Int
      let rows: Int
      let lost: Int
      let doubled: Int
      let wrong: Int
      let unknown: Int
      let done: [String: Int]
      let skipped: [String: String]
      let complaints: [String]
      let first: [String]
    }

    private static let server = [
      "kill-insert-held", "kill-insert-lost", "kill-insert-applied", "kill-replay", "kill-drain", "server-refuses",
      "server-resets", "server-resets-late", "server-spoils", "server-stalls", "server-drips", "server-exception-200",
    ]
    private static let broker = [
      "kill-rebalance", "broker-killed", "suspend", "aborted", "topic-made-again", "twin", "server-killed",
      "clock-skewed", "clock-jumps", "clock-far",
    ]
    private static let proxies = [
      "kill-declare-held", "kill-declare-lost", "kill-declare-written", "commit-held", "commit-lost",
      "commit-answer-lost", "commit-answer-held", "commit-late", "commit-refused", "join-lost", "network-cut",
    ]

    private func prove(_ faults: [String], _ options: [String]) async throws {
      let script = TestMachine.root.appending(path: "scripts/prove-exactly-once").path
      let seed = Int.random(in: 0..<1_000_000)
      let run = try ChildServer(
        [
          script, "--sinkctl", SinkctlRun.path, "--faults", faults.joined(separator: ","), "--kills", "3", "--json",
          "--session", "3", "--pace", "0.1", "--rate", "500", "--seed", "\(seed)",
        ] + options)
      defer { run.stop() }
      try await run.waitUntilEnd(within: .seconds(270))
      let output = run.output
      let line = try #require(output.split(separator: "\n").last { $0.hasPrefix("{") }, "seed \(seed): \(output)")
      let found = try JSONDecoder().decode(Verdict.self, from: Data(line.utf8))
      let problems = found.complaints + found.first
      #expect(found.verdict == "PASS", "seed \(seed): \(problems.joined(separator: "; "))\n\(line)")
      #expect(found.lost == 0 && found.doubled == 0 && found.wrong == 0 && found.unknown == 0, "seed \(seed)")
      #expect(found.rows > 0 && found.rows == found.records, "seed \(seed): \(line)")
      #expect(found.skipped.isEmpty, "seed \(seed): \(found.skipped)")
      for fault in faults { #expect(found.done[fault] == 1, "seed \(seed): \(fault) was not done") }
    }

    @Test(.enabled(if: TestMachine.kafkaScript != nil, "needs Java and SINK_KAFKA_BROKER_SCRIPT"))
    func everyRowOnceThroughEachFault() async throws {
      let hasProxies = TestMachine.kafkaFaultProxy != nil && TestMachine.toxiproxy != nil
      try await prove(Self.server + Self.broker + (hasProxies ? Self.proxies : []), ["--kafka", "4.4.0"])
    }

    @Test(.enabled(if: TestMachine.kafkaScript == nil, "a real Kafka is here"))
    func everyRowOnceOnTheMockCluster() async throws {
      let mock = try MockCluster(brokers: 1)
      for (topic, partitions) in [("numbers", 4), ("numbers.dead", 1)] {
        try mock.createTopic(topic, partitions: partitions)
      }
      try await prove(Self.server, ["--brokers", mock.bootstrap.joined(separator: ",")])
    }
  }
}
