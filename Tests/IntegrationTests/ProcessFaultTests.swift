import ClickHouseClient
import ClickHouseTestKit
import Foundation
import Glibc
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealServerTests {
  /// The built program: killed, stopped while its server hangs, and short of memory.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct ProcessFaultTests {
    @Test(.enabled(if: TestMachine.kafkaScript != nil, "needs Java and SINK_KAFKA_BROKER_SCRIPT"))
    func killedAgainAndAgainNothingIsLost() async throws {
      let broker = try await KafkaBroker.start(version: "4.4.0")
      let servers = try SharedServers.required()
      try await killed("killed", brokers: [broker.bootstrap], url: servers.url, kills: 6) { name in
        let admin = try KafkaAdmin(brokers: [broker.bootstrap])
        try await admin.createTopic(name, partitions: 3, within: .patience)
        try await admin.createTopic("\(name).dead", partitions: 3, within: .patience)
      }
    }

    @Test func killedOnTheMockClusterNothingIsLost() async throws {
      let servers = try SharedServers.required()
      try await killed("killed_mock", brokers: servers.brokers, url: servers.url, kills: 2) { name in
        try servers.mock.createTopic(name, partitions: 3)
        try servers.mock.createTopic("\(name).dead", partitions: 3)
      }
    }

    private func killed(
      _ name: String, brokers: [String], url: String, kills: Int, create: (String) async throws -> Void
    ) async throws {
      let servers = try SharedServers.required()
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try await create(name)
      try await TestTable.create(name, clickhouse)
      let ledger = try RecordLedger(brokers: brokers)
      let configuration = SinkctlRun.configuration(
        name, brokers: brokers, url: url, limits: "memory: 64MiB, drain: 10s",
        deadLetters: "{topic: \(name).dead}")
      func rows() async throws -> Int {
        Int(try await clickhouse.queryText("SELECT count() FROM \(name)").trimmingCharacters(in: .newlines)) ?? 0
      }
      for round in 0..<kills {
        try await ledger.produce(4000, to: name, partitions: 3, textBytes: 100) { id in
          id % 400 == 3 ? .bad : id % 1000 == 4 ? .tombstone : id == 1234 ? .refused : .row
        }
        let program = try SinkctlRun(configuration)
        let (before, deadline) = (try await rows(), ContinuousClock.now + .patience)
        // In the middle of it: some blocks have landed, others have not.
        while try await rows() < before + 300 + 500 * (round % 3) {
          guard ContinuousClock.now < deadline else { throw HarnessProblem("nothing comes: \(program.log)") }
          try await Task.sleep(for: .milliseconds(5))
        }
        program.send(SIGKILL)
        _ = try await program.end()
      }
      let program = try SinkctlRun(configuration)
      let deadline = ContinuousClock.now + .patience
      var audit = DeliveryAudit()
      while ContinuousClock.now < deadline {
        audit = DeliveryAudit()
        try await audit.read(table: name, clickhouse, ledger)
        try audit.read(
          deadLetters: try await TopicDump.records(of: "\(name).dead", partitions: 3, brokers: brokers))
        if audit.covers(ledger) { break }
        try await Task.sleep(for: .milliseconds(500))
      }
      program.send(SIGTERM)
      #expect(try await program.end() == 0, "\(program.log.suffix(3000))")
      await ledger.close()
      let doubled = audit.expectComplete(ledger, mayDouble: true)
      print("\(name): \(kills) kills, \(ledger.count) records, \(doubled) there more than once")
    }

    @Test func stoppedWhileTheServerHangsItEndsInTimeAndSaysWhy() async throws {
      let site = try await TestSite("hanging", partitions: 2)
      let scripted = try ScriptedServer(
        ServerScript { _, index in index == nil ? nil : .stallAfterBody }, forwardingTo: site.servers.url)
      defer { scripted.stop() }
      try await site.produce(700)
      await site.ledger.close()
      let program = try SinkctlRun(
        SinkctlRun.configuration(
          site.name, brokers: site.servers.brokers, url: scripted.url, limits: "memory: 64MiB, drain: 2s"))
      #expect(await scripted.waitForInserts(1))
      program.send(SIGTERM)
      #expect(try await program.end(within: .patience) == 69)
      #expect(program.log.contains("records that have not landed"), "\(program.log)")
    }

    /// Far more than the limit waits for a slow server: the process stays small, and everything lands.
    @Test func aSlowServerDoesNotFillTheMemory() async throws {
      let site = try await TestSite("slow", partitions: 40, window: 1000)
      let scripted = try ScriptedServer(
        ServerScript { _, index in
          index == nil ? nil : ServerStep([.readBody, .wait(.milliseconds(150)), .forward, .relay])
        }, forwardingTo: site.servers.url, keepsBodies: false)
      defer { scripted.stop() }
      try await site.produce(40_000, textBytes: 2000)
      // Larger than a block may be.
      try await site.produce(3, textBytes: 2 << 20)
      let program = try SinkctlRun(
        SinkctlRun.configuration(site.name, brokers: site.servers.brokers, url: scripted.url, limits: "memory: 32MiB"))
      let deadline = ContinuousClock.now + .patience
      var peak = 0
      while true {
        peak = max(peak, program.peakResidentKilobytes ?? 0)
        let count = try await site.clickhouse.queryText("SELECT count() FROM \(site.name)").trimmingCharacters(
          in: .newlines)
        if count == "\(site.ledger.count)" { break }
        guard ContinuousClock.now < deadline else {
          throw HarnessProblem("\(count) of \(site.ledger.count) rows, \(peak) KiB: \(program.log.suffix(3000))")
        }
        try await Task.sleep(for: .milliseconds(100))
      }
      program.send(SIGTERM)
      #expect(try await program.end() == 0, "\(program.log.suffix(3000))")
      try await site.expectComplete()
      print("\(site.name): 86 MB of records through limits.memory 32MiB, \(peak >> 10) MiB resident at most")
      #expect(peak < 160 << 10, "\(peak) KiB")
    }
  }
}
