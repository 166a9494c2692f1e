import ClickHouseClient
import ClickHouseTestKit
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealServerTests {
  /// Members that come and go, partitions that are thin, brokers that refuse, leaders that move.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct GroupTests {
    @Test func aSecondMemberComesAndGoesUnderLoad() async throws {
      let servers = try SharedServers.required()
      let name = "members"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 6)
      try await TestTable.create(name, clickhouse)
      let ledger = try RecordLedger(brokers: servers.brokers)
      let configuration = PipelineConfiguration.test(name, brokers: servers.brokers, url: servers.url, maxRows: 50)
      let said = Shared<[String]>([])
      let doubled = try await withSink(configuration) { first in
        let load = Task {
          for _ in 0..<150 {
            try await ledger.produce(40, to: name, partitions: 6)
            try await Task.sleep(for: .milliseconds(100))
          }
        }
        try await first.wait("the first member has all") { $0.partitions.count == 6 }
        try await withSink(configuration) { second in
          try await second.wait("the second member has some") { $0.partitions.count >= 2 }
          try await first.wait("the first member has given them back") { $0.partitions.count <= 4 }
          try await second.wait("the second member inserts") { $0.rowsInserted > 100 }
          #expect(await second.stop() == nil)
          said.value = second.lines.map { "second: \($0)" }
        }
        try await first.wait("the first member has all again") { $0.partitions.count == 6 }
        try await load.value
        try await first.waitForAll(of: ledger)
        #expect(await first.stop() == nil)
        said.update { $0 += first.lines.map { "first: \($0)" } }
        var audit = DeliveryAudit()
        try await audit.read(table: name, clickhouse, ledger)
        // Nothing is missing; what could not be drained and committed before it changed hands is there twice.
        return audit.expectComplete(ledger, mayDouble: true)
      }
      print("\(name): \(ledger.count) records under two members, \(doubled) there more than once")
      if doubled > 0 { print(said.value.joined(separator: "\n")) }
      await ledger.close()
    }

    /// 100 partitions with a trickle each make few inserts, since they share blocks.
    @Test func thinPartitionsShareBlocks() async throws {
      let servers = try SharedServers.required()
      let name = "thin"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 100)
      try await TestTable.create(name, clickhouse)
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(5000, to: name, partitions: 100)
      let scripted = try ScriptedServer(ServerScript { _, _ in nil }, forwardingTo: servers.url, keepsBodies: false)
      defer { scripted.stop() }
      var configuration = PipelineConfiguration.test(name, brokers: servers.brokers, url: scripted.url, maxRows: 2000)
      configuration.routes[0].block.linger = .milliseconds(500)
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: ledger)
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      #expect(scripted.inserts.count <= 20, "\(scripted.inserts.count) inserts for 5000 records")
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger)
    }

    /// Errors of every request that the path needs, and leaders and coordinators that move.
    @Test func brokersThatRefuseAndLeadersThatMove() async throws {
      let servers = try SharedServers.required()
      let name = "moves"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      let mock = servers.mock
      try mock.createTopic(name, partitions: 4)
      try await TestTable.create(name, clickhouse, window: 1000)
      let ledger = try RecordLedger(brokers: servers.brokers)
      let configuration = PipelineConfiguration.test(name, brokers: servers.brokers, url: servers.url)
      // Where the group stands cannot be read at first: nothing begins at a guess.
      mock.refuse(.offsetFetch, with: [.coordinatorLoadInProgress, .notCoordinator])
      try await withSink(configuration) { sink in
        for round in 0..<6 {
          try await ledger.produce(200, to: name, partitions: 4)
          switch round {
          case 0: mock.refuse(.fetch, with: [.notLeaderForPartition, .requestTimedOut, .disconnect])
          case 1: mock.refuse(.offsetCommit, with: [.requestTimedOut, .coordinatorLoadInProgress, .disconnect])
          case 2:
            for partition in 0..<Int32(4) {
              try mock.setLeader(of: TopicPartition(name, partition), to: partition % 2 + 1)
            }
          case 3: mock.refuse(.heartbeat, with: [.notCoordinator])
          case 4: try mock.setCoordinator(ofGroup: name, to: 2)
          default: mock.refuse(.offsetCommit, with: [.rebalanceInProgress])
          }
          try await sink.waitForAll(of: ledger)
        }
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger, mayDouble: true)
    }
  }
}
