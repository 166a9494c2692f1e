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
      let site = try await TestSite("members", partitions: 6)
      let configuration = site.configuration(maxRows: 50)
      let said = Shared<[String]>([])
      try await withSink(configuration) { first in
        let load = Task {
          for _ in 0..<150 {
            try await site.produce(40)
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
        try await first.waitForAll(of: site.ledger)
        #expect(await first.stop() == nil)
        said.update { $0 += first.lines.map { "first: \($0)" } }
      }
      // Nothing is missing; what could not be drained and committed before it changed hands is there twice.
      let doubled = try await site.expectComplete(mayDouble: true)
      print("\(site.name): \(site.ledger.count) records under two members, \(doubled) there more than once")
      if doubled > 0 { print(said.value.joined(separator: "\n")) }
    }

    /// 100 partitions with a trickle each make few inserts, since they share blocks.
    @Test func thinPartitionsShareBlocks() async throws {
      let site = try await TestSite("thin", partitions: 100)
      try await site.produce(5000)
      let scripted = try ScriptedServer(
        ServerScript { _, _ in nil }, forwardingTo: site.servers.url, keepsBodies: false)
      defer { scripted.stop() }
      var configuration = site.configuration(via: scripted.url, maxRows: 2000)
      configuration.routes[0].block.linger = .milliseconds(500)
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: site.ledger)
        #expect(await sink.stop() == nil)
      }
      #expect(scripted.inserts.count <= 20, "\(scripted.inserts.count) inserts for 5000 records")
      try await site.expectComplete()
    }

    /// Errors of every request that the path needs, and leaders and coordinators that move.
    @Test func brokersThatRefuseAndLeadersThatMove() async throws {
      let site = try await TestSite("moves", partitions: 4, window: 1000)
      let (mock, name) = (site.servers.mock, site.name)
      // Where the group stands cannot be read at first: nothing begins at a guess.
      mock.refuse(.offsetFetch, with: [.coordinatorLoadInProgress, .notCoordinator])
      try await withSink(site.configuration()) { sink in
        for round in 0..<6 {
          try await site.produce(200)
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
          try await sink.waitForAll(of: site.ledger)
        }
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete(mayDouble: true)
    }
  }
}
