import ClickHouseClient
import ClickHouseTestKit
import Foundation
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

extension RealServerTests {
  /// A server that fails in every way, in front of the real engine: afterwards every offset is accounted for.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct ServerFaultTests {
    struct Fault: Sendable {
      let name: String
      let step: ServerStep
    }

    static let faults: [Fault] = [
      Fault(name: "reset before the body", step: .resetBeforeBody),
      Fault(name: "reset in the body", step: .resetInBody(afterBytes: 100)),
      Fault(name: "reset after the body", step: .resetAfterBody),
      Fault(name: "closed after the body", step: .closeAfterBody),
      Fault(name: "reset in the answer, not stored", step: .resetInAnswer(afterBytes: 10)),
      Fault(name: "stored, then reset", step: .forwardThenReset),
      Fault(name: "stored, then closed", step: ServerStep([.readBody, .forward, .close])),
      Fault(name: "stored, then silent", step: ServerStep([.readBody, .forward, .stall])),
      Fault(
        name: "stored, reset in the answer", step: ServerStep([.readBody, .forward, .sendPart(.ok, bytes: 9), .reset])),
      Fault(name: "silent before the body", step: .stallBeforeBody),
      Fault(name: "silent after the body", step: .stallAfterBody),
      Fault(name: "too many parts", step: .refuse(252)),
      Fault(name: "too many queries", step: .refuse(202)),
      Fault(name: "out of memory", step: .refuse(241)),
      Fault(name: "Keeper", step: .refuse(999)),
      Fault(name: "starting, with 503", step: .refuse(242, status: 503)),
      Fault(name: "stored, too slow it says", step: ServerStep([.readBody, .forward, .send(.exception(159))])),
      Fault(name: "stored, status unknown", step: ServerStep([.readBody, .forward, .send(.exception(319))])),
      Fault(name: "code in a header of a 200", step: .answer(.exceptionHeaderOn200(252))),
      Fault(name: "tagged exception in a 200", step: .answer(.taggedException(241))),
      Fault(name: "plain exception in a 200", step: .answer(.plainException(241))),
      Fault(name: "a page with 502", step: .answer(.page(502))),
      Fault(name: "a page with 200", step: .answer(.page(200))),
      Fault(name: "stored, a page with 504", step: ServerStep([.readBody, .forward, .send(.page(504))])),
      Fault(
        name: "reads slowly",
        step: ServerStep([.readBodySlowly(bytes: 256, every: .milliseconds(5)), .forward, .relay])
      ),
      Fault(
        name: "answers in drops",
        step: ServerStep([.readBody, .forward, .relaySlowly(bytes: 8, every: .milliseconds(10))])),
    ]

    /// Each fault twice, in an order of the seed, with good inserts between.
    static func script(seed: UInt64, _ met: Shared<[String: Int]>) -> ServerScript {
      var generator = SeededGenerator(seed: seed)
      let plan = (faults + faults).shuffled(using: &generator).flatMap { fault -> [Fault?] in
        Bool.random(using: &generator) ? [fault] : [fault, nil]
      }
      return ServerScript { _, index in
        guard let index else { return nil }
        guard index < plan.count, let fault = plan[index] else { return .forward }
        met.update { $0[fault.name, default: 0] += 1 }
        return fault.step
      }
    }

    @Test func everyFaultOnceMore() async throws {
      try await everyFault("faults", seed: 1, url: SharedServers.required().url, knowsTokens: true)
    }

    /// No tokens there: what was stored and not heard of is stored again.
    @Test(.enabled(if: ClickHouseServer.program != nil, "clickhouse-server is not installed"))
    func everyFaultOnceMoreOnAnOldServer() async throws {
      let server = try await ClickHouseServer.start()
      defer { server.stop() }
      try await everyFault("faults_old", seed: 2, url: server.url, knowsTokens: false)
    }

    private func everyFault(_ name: String, seed: UInt64, url: String, knowsTokens: Bool) async throws {
      // Tokens, and constraints, are younger than the old server.
      let site = try await TestSite(
        name, partitions: 3, window: knowsTokens ? 1000 : 0, constraint: knowsTokens,
        deadLetters: .topic("\(name).dead"), url: url)
      let met = Shared<[String: Int]>([:])
      let scripted = try ScriptedServer(Self.script(seed: seed, met), forwardingTo: url, keepsBodies: false)
      defer { scripted.stop() }
      try await site.produce(6000) { id in
        knowsTokens && (id == 1501 || id == 4002) ? .refused : id % 200 == 3 ? .bad : id % 300 == 4 ? .tombstone : .row
      }
      var configuration = site.configuration(via: scripted.url, maxRows: 60)
      configuration.clickhouse.stallTimeout = .seconds(1)
      configuration.clickhouse.requestTimeout = .seconds(2)
      configuration.retry = RetryPolicy(initial: .milliseconds(10), cap: .milliseconds(50))
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: site.ledger)
        #expect(sink.value(PipelineMetric.rebalances) == 1, "one assignment, and nothing was taken from us")
        #expect(await sink.stop() == nil)
      }
      let counts = met.value
      #expect(Self.faults.filter { counts[$0.name] == nil }.map(\.name) == [], "every fault was met")
      // Where the table knows tokens, a repeated insert stores nothing twice.
      try await site.expectComplete(mayDouble: !knowsTokens)
    }

    /// What only a person can mend: the table waits with an alarm, reading goes on, other tables do not suffer, and mending
    /// is enough.
    @Test func aTableThatAPersonMustMendHealsWithoutARestart() async throws {
      let servers = try SharedServers.required()
      let (name, other) = ("mend", "mend_other")
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      for topic in [name, other] {
        try servers.mock.createTopic(topic, partitions: 2)
        try await TestTable.create(topic, clickhouse, window: 1000)
      }
      let isForbidden = Shared(false)
      let scripted = try ScriptedServer(
        ServerScript { request, index in
          guard index != nil, request.sql.contains("`mend`") else { return nil }
          return isForbidden.value ? .refuse(497, status: 403) : nil
        }, forwardingTo: servers.url, keepsBodies: false)
      defer { scripted.stop() }
      var configuration = PipelineConfiguration.test(name, brokers: servers.brokers, url: scripted.url)
      var route = configuration.routes[0]
      route.topics = [other]
      route.table = other
      configuration.routes.append(route)
      let ledger = try RecordLedger(brokers: servers.brokers)
      let breaks: [(code: String, sabotage: () async throws -> Void, mend: () async throws -> Void)] = [
        (
          "497", { isForbidden.value = true }, { isForbidden.value = false }
        ),
        (
          "60", { _ = try await clickhouse.queryText("RENAME TABLE mend TO mend_away") },
          { _ = try await clickhouse.queryText("RENAME TABLE mend_away TO mend") }
        ),
        (
          "16", { _ = try await clickhouse.queryText("ALTER TABLE mend DROP COLUMN level") },
          { _ = try await clickhouse.queryText("ALTER TABLE mend ADD COLUMN level UInt8 AFTER kind") }
        ),
      ]
      try await withSink(configuration) { sink in
        try await ledger.produce(200, to: name, partitions: 2)
        try await sink.waitForAll(of: ledger)
        for (code, sabotage, mend) in breaks {
          try await sabotage()
          try await ledger.produce(200, to: name, partitions: 2)
          try await sink.wait("an alarm with code \(code)") { status in
            status.alarms.contains { $0.table == name && $0.message.contains("says \(code) ") }
          }
          let before = sink.status.rowsInserted
          try await ledger.produce(100, to: other, partitions: 2)
          try await sink.wait("the other table goes on") { $0.rowsInserted >= before + 100 }
          try await ledger.produce(200, to: name, partitions: 2)
          try await sink.wait("the lag shows what waits") { $0.lag >= 400 }
          try await mend()
          try await sink.waitForAll(of: ledger)
          try await sink.wait("no alarm is left") { $0.alarms.isEmpty }
        }
        #expect(sink.value(PipelineMetric.rebalances) == 1)
        #expect(await sink.stop() == nil)
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      try await audit.read(table: other, clickhouse, ledger)
      audit.expectComplete(ledger)
    }

    /// Down at the start, and again for longer than the group's session: it waits, in its memory, and keeps its partitions.
    @Test func aServerThatIsDownIsWaitedFor() async throws {
      let site = try await TestSite("down", partitions: 4, window: 1000)
      let isDown = Shared(true)
      let scripted = try ScriptedServer(
        ServerScript { _, index in
          isDown.value ? .resetBeforeBody : index == nil ? nil : .forward
        }, forwardingTo: site.servers.url, keepsBodies: false)
      defer { scripted.stop() }
      var configuration = site.configuration(via: scripted.url, maxRows: 2000)
      configuration.clickhouse.compression = .none
      configuration.limits.memoryBytes = 48 << 20
      try await withSink(configuration) { sink in
        try await Task.sleep(for: .seconds(1))
        #expect(sink.status.phase == .starting)
        isDown.value = false
        try await site.produce(1000)
        try await sink.waitForAll(of: site.ledger)

        isDown.value = true
        // Nearly twice what blocks may take.
        try await site.produce(10_000, textBytes: 2000)
        try await sink.wait("partitions pause") { $0.isPaused }
        let start = ContinuousClock.now
        while ContinuousClock.now < start + .seconds(8) {
          let status = sink.status
          #expect(status.memoryUsedBytes < status.memoryLimitBytes * 3 / 2, "\(status)")
          try await Task.sleep(for: .milliseconds(200))
        }
        isDown.value = false
        try await sink.waitForAll(of: site.ledger)
        #expect(sink.value(PipelineMetric.rebalances) == 1, "its partitions stayed with it")
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
    }

    @Test func aDrainThatTheServerHoldsUpEndsInTimeAndSaysSo() async throws {
      let site = try await TestSite("stalled_drain", partitions: 2)
      let stalls = Shared(false)
      let scripted = try ScriptedServer(
        ServerScript { _, index in
          index != nil && stalls.value ? .stallAfterBody : nil
        }, forwardingTo: site.servers.url, keepsBodies: false)
      defer { scripted.stop() }
      var configuration = site.configuration(via: scripted.url)
      configuration.limits.drain = .seconds(2)
      try await withSink(configuration) { sink in
        try await site.produce(500)
        try await sink.waitForAll(of: site.ledger)
        stalls.value = true
        try await site.produce(500)
        try await sink.wait("inserts hang") {
          $0.insertsInFlight > 0 && $0.partitions.allSatisfy { $0.position == 500 }
        }
        let start = ContinuousClock.now
        let error = try #require(await sink.stop())
        #expect(error.code == .notDrained && error.message.contains("500 records"), "\(error)")
        #expect(ContinuousClock.now - start < .seconds(60), "a request has five minutes")
      }
      stalls.value = false
      try await withSink(configuration) { sink in
        try await sink.waitForAll(of: site.ledger)
        #expect(await sink.stop() == nil)
      }
      try await site.expectComplete()
    }

    /// A shutdown does not wait for a server that never answers the questions of the start.
    @Test func aStartThatIsHeldUpCanBeCancelled() async throws {
      let servers = try SharedServers.required()
      let scripted = try ScriptedServer(ServerScript { _, _ in .stallAfterBody })
      defer { scripted.stop() }
      let configuration = PipelineConfiguration.test("never", brokers: servers.brokers, url: scripted.url)
      try await withSink(configuration) { sink in
        while scripted.requests.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        let start = ContinuousClock.now
        #expect(await sink.stop() == nil)
        #expect(ContinuousClock.now - start < .seconds(60), "a request has five minutes")
      }
    }
  }
}
