import ClickHouseClient
import KafkaClient
import Pipeline
import TestServers
import Testing

extension RealBrokerTests {
  /// Three real nodes: leaders, the group's coordinator among them, die, move, come back.
  @Suite(.serialized, .needsKafkaAndEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct ClusterTests {
    /// Both promises at once: a node that leads something dies under load, comes back, and gets its partitions back.
    @Test func leadersThatDieAndComeBack() async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let cluster = try await KafkaCluster.start(version: "3.9.2")
      let admin = try KafkaAdmin(brokers: cluster.bootstrap)
      let (least, exactly) = ("moves_least", "moves_exactly")
      let ledgers = try [least, exactly].map { _ in try RecordLedger(brokers: cluster.bootstrap) }
      for name in [least, exactly] {
        try await admin.createTopic(name, partitions: 3, replication: 3, within: .patience)
        try await TestTable.create(name, clickhouse, window: 10_000, constraint: false)
      }
      var configuration = PipelineConfiguration.test(exactly, brokers: cluster.bootstrap, url: servers.url)
      configuration.routes[0].delivery = .exactlyOnce
      configuration.kafka.instanceID = "one"
      let ordinary = PipelineConfiguration.test(least, brokers: cluster.bootstrap, url: servers.url)
      func produce() async throws {
        try await ledgers[0].produce(600, to: least, partitions: 3)
        try await ledgers[1].produce(600, to: exactly, partitions: 3)
      }
      try await withSink(ordinary) { first in
        try await withSink(configuration) { second in
          func land() async throws {
            try await first.waitForAll(of: ledgers[0], within: .patience)
            try await second.waitForAll(of: ledgers[1], within: .patience)
          }
          try await produce()
          try await land()
          let home = try await leaders(of: [least, exactly], admin)
          let node = try #require(home[TopicPartition(exactly, 0)])
          try await produce()
          try await cluster.kill(node)
          // With the leaders' successors, or waiting for them.
          try await produce()
          try await land()
          #expect(try await leaders(of: [least, exactly], admin) != home, "nothing has moved")
          try await cluster.start(node)
          try await waitForLeaders(home, admin)
          try await produce()
          try await land()
          #expect(await second.stop() == nil)
        }
        #expect(await first.stop() == nil)
      }
      for (name, ledger) in zip([least, exactly], ledgers) {
        await ledger.close()
        var audit = DeliveryAudit()
        try await audit.read(table: name, clickhouse, ledger)
        audit.expectComplete(ledger, mayDouble: name == least)
      }
    }

    private func leaders(of topics: [String], _ admin: KafkaAdmin) async throws -> [TopicPartition: Int] {
      let found = try await admin.metadata(within: .patience).topics.filter { topics.contains($0.name) }
      return found.reduce(into: [:]) { leaders, topic in
        for partition in topic.partitions {
          leaders[TopicPartition(topic.name, partition.partition)] = partition.leader.map(Int.init)
        }
      }
    }

    /// The cluster moves leaders back by itself once the node has caught up.
    private func waitForLeaders(_ wanted: [TopicPartition: Int], _ admin: KafkaAdmin) async throws {
      let deadline = ContinuousClock.now + .patience
      let topics = Set(wanted.keys.map(\.topic))
      while try await leaders(of: Array(topics), admin) != wanted {
        guard ContinuousClock.now < deadline else { throw HarnessProblem("leaders do not move back") }
        try await Task.sleep(for: .milliseconds(200))
      }
    }
  }
}
