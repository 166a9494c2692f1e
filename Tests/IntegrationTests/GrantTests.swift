import ClickHouseClient
import ClickHouseTestKit
import KafkaClient
import KafkaTestKit
import Pipeline
import SinkTelemetry
import TestServers
import Testing

extension RealBrokerTests {
  /// A broker with ACLs: what is not allowed is found by `check`, and said by `run` until somebody allows it.
  @Suite(.serialized, .needsKafkaAndEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct GrantTests {
    private static let topic = "granted"

    private static let users = ["whole", "blind", "unread", "outside", "onlooker", "late", "later", "mute"]

    private func start(_ version: String) async throws -> KafkaBroker {
      var options = KafkaBroker.Options()
      options.users = Dictionary(uniqueKeysWithValues: Self.users.map { ($0, "secret") })
      options.properties = [
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS", "auto.create.topics.enable": "false",
      ]
      return try await KafkaBroker.start(version: version, options)
    }

    private func allow(
      _ users: [String], _ operation: String, _ place: [String], _ broker: KafkaBroker
    ) async throws {
      try await KafkaBroker.tool(
        ["kafka.admin.AclCommand", "--bootstrap-server", broker.bootstrap, "--add", "--operation", operation] + place
          + users.flatMap { ["--allow-principal", "User:\($0)"] })
    }

    private func configuration(_ user: String, _ broker: KafkaBroker, _ url: String) -> PipelineConfiguration {
      var configuration = PipelineConfiguration.test(Self.topic, brokers: [broker.address(.sasl)], url: url)
      configuration.kafka.security = .sasl(mechanism: .plain, username: user, password: Secret("secret"), tls: nil)
      configuration.routes[0].delivery = .atLeastOnce
      return configuration
    }

    private func check(_ user: String, _ broker: KafkaBroker, _ url: String) async throws -> [PipelineFinding] {
      try await Pipeline(configuration(user, broker, url)).check()
    }

    @Test(arguments: ["3.9.2"])
    func whatIsNotAllowedIsFoundAndSaid(version: String) async throws {
      let servers = try SharedServers.required()
      let (name, topic, group) = (Self.topic, ["--topic", Self.topic], ["--group", Self.topic])
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      _ = try await clickhouse.queryText("DROP TABLE IF EXISTS \(name)")
      try await TestTable.create(name, clickhouse, window: 10_000)
      let broker = try await start(version)
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      try await admin.createTopic(name, partitions: 2, within: .patience)
      async let reading: Void = allow(["whole", "outside", "onlooker", "later"], "Read", topic, broker)
      async let seeing: Void = allow(["unread", "late"], "Describe", topic, broker)
      async let joining: Void = allow(["whole", "blind", "unread", "late"], "Read", group, broker)
      async let looking: Void = allow(["onlooker", "later"], "Describe", group, broker)
      _ = try await (reading, seeing, joining, looking)
      let ledger = try RecordLedger(brokers: [broker.bootstrap])
      try await ledger.produce(100, to: name, partitions: 2)

      #expect(try await check("whole", broker, servers.url) == [])
      for (user, setting, words) in [
        (
          "blind", "routes[1].topic",
          ["does not exist, or this user may not see it", "--operation Read --topic 'granted'"]
        ),
        ("unread", "routes[1].topic", ["cannot be read", "'User:unread' --operation Read --topic 'granted'"]),
        ("outside", "kafka.group", ["'User:outside' --operation Read --group 'granted'", "kafka-cluster:AlterGroup"]),
        ("onlooker", "kafka.group", ["takes no offsets", "'User:onlooker' --operation Read --group 'granted'"]),
      ] {
        let findings = try await check(user, broker, servers.url)
        #expect(findings.map(\.setting) == [setting] && findings[0].code == .refused, "\(user): \(findings)")
        for word in words { #expect(findings.first?.message.contains(word) == true, "\(user): \(findings)") }
      }
      let offsets = try await admin.committedOffsets(
        group: name, [TopicPartition(name, 0), TopicPartition(name, 1)], within: .patience)
      #expect(offsets.allSatisfy { $0.offset == nil }, "a check has left something in the group: \(offsets)")

      try await runsOnceAllowed("later", "group \(name)", ledger, broker, servers.url) {
        try await allow(["later"], "Read", group, broker)
      }
      for delivery in [DeliveryGuarantee.atLeastOnce, .exactlyOnce] {
        let user = delivery == .exactlyOnce ? "blind" : "late"
        if user == "blind" { try await allow([user], "Describe", topic, broker) }
        try await ledger.produce(100, to: name, partitions: 2)
        try await runsOnceAllowed(user, "topic \(name)", ledger, broker, servers.url, delivery) {
          try await allow([user], "Read", topic, broker)
        }
      }
      await ledger.close()
      var audit = DeliveryAudit()
      try await audit.read(table: name, clickhouse, ledger)
      audit.expectComplete(ledger)
    }

    /// A topic of dead letters that may be seen may not be one that may be written to: librdkafka can ask since 2.3.
    @Test(arguments: ["4.4.0"]) func deadLettersThatMayNotBeWritten(version: String) async throws {
      let servers = try SharedServers.required()
      let (name, letters) = ("granted_letters", "granted_letters_dead")
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try await TestTable.create(name, clickhouse, window: 10_000)
      let broker = try await start(version)
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      for topic in [name, letters] { try await admin.createTopic(topic, partitions: 1, within: .patience) }
      async let reading: Void = allow(["whole", "mute"], "Read", ["--topic", name], broker)
      async let joining: Void = allow(["whole", "mute"], "Read", ["--group", name], broker)
      async let seeing: Void = allow(["mute"], "Describe", ["--topic", letters], broker)
      async let writing: Void = allow(["whole"], "Write", ["--topic", letters], broker)
      _ = try await (reading, joining, seeing, writing)

      func check(_ user: String) async throws -> [PipelineFinding] {
        var configuration = PipelineConfiguration.test(
          name, brokers: [broker.address(.sasl)], url: servers.url, deadLetters: .topic(letters))
        configuration.kafka.security = .sasl(
          mechanism: .plain, username: user, password: Secret("secret"), tls: nil)
        configuration.routes[0].delivery = .atLeastOnce
        return try await Pipeline(configuration).check()
      }
      // A broker goes by its ACLs a moment after it has taken them.
      try await eventually("whoever may do all finds nothing") { try await check("whole") == [] }
      let canAsk = KafkaLibrary.versionNumber >= 0x0203_00ff
      var findings: [PipelineFinding] = []
      try await eventually("what is missing is found") {
        findings = try await check("mute")
        return canAsk ? findings.first?.message.contains("cannot be written to") == true : findings.isEmpty
      }
      // Where no ACL stands in the way, everything is allowed.
      let allowed = try await admin.operations(on: [letters, "nowhere"], within: .patience)
      guard canAsk else { return #expect(allowed == nil) }
      #expect(allowed?.keys.sorted() == [letters])
      #expect(allowed?[letters]?.isSuperset(of: [.read, .write, .describe]) == true)
      #expect(findings.map(\.setting) == ["routes[1].dead_letters.topic"] && findings[0].code == .refused)
      #expect(findings[0].message.contains("'User:mute' --operation Write --topic '\(letters)'"), "\(findings)")
    }

    /// The run says what is to be allowed, and goes on by itself once it is.
    private func runsOnceAllowed(
      _ user: String, _ subject: String, _ ledger: RecordLedger, _ broker: KafkaBroker, _ url: String,
      _ delivery: DeliveryGuarantee = .atLeastOnce, _ allow: () async throws -> Void
    ) async throws {
      var configuration = configuration(user, broker, url)
      // The same for all: the group knows the next one at once.
      configuration.kafka.instanceID = Self.topic
      configuration.routes[0].delivery = delivery
      try await withSink(configuration) { sink in
        try await sink.wait("an alarm of \(subject)") { status in
          status.alarms.contains { $0.table == subject && $0.message.contains("'User:\(user)' --operation Read") }
        }
        try await allow()
        try await sink.waitForAll(of: ledger)
        #expect(sink.status.alarms.isEmpty)
        #expect(sink.lines.count { $0.contains("until somebody allows it") } == 1)
        #expect(await sink.stop() == nil)
      }
    }
  }
}

extension RealServerTests {
  /// A ClickHouse that lets us read and not insert.
  @Suite(.serialized, .needsEngine, .sharedServers, .timeLimit(.minutes(10)))
  struct InsertGrantTests {
    /// What the configuration's `check` finds, and what a run has raised an alarm for or ended with.
    private func tryOut(_ configuration: PipelineConfiguration) async throws -> ([PipelineFinding], said: String) {
      let findings = try await Pipeline(configuration).check()
      var configuration = configuration
      // What is refused does not land by waiting.
      configuration.limits.drain = .milliseconds(500)
      let said = try await withSink(configuration) { sink in
        let deadline = ContinuousClock.now + .patience
        while sink.status.alarms.isEmpty, sink.status.phase != .stopped, ContinuousClock.now < deadline {
          try await Task.sleep(for: .milliseconds(20))
        }
        let alarms = sink.status.alarms.map { "\($0.table): \($0.message)" }
        return alarms.isEmpty ? "ended: \(String(describing: try await sink.end()))" : alarms.joined()
      }
      return (findings, said)
    }

    @Test(.enabled(if: ClickHouseServer.program != nil, "clickhouse-server is not installed"))
    func anOldServer() async throws {
      let servers = try SharedServers.required()
      let name = "forbidden"
      let server = try await ClickHouseServer.start()
      defer { server.stop() }
      let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: server.url))
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 1)
      try await TestTable.create(name, clickhouse, constraint: false)
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(10, to: name, partitions: 1)
      await ledger.close()
      for (user, code) in [("reader", "164 (READONLY)"), ("fixed", "164 (READONLY)"), ("elsewhere", "291 (DATABASE")] {
        var configuration = PipelineConfiguration.test(name, brokers: servers.brokers, url: server.url)
        configuration.clickhouse.user = user
        configuration.routes[0].delivery = .atLeastOnce
        configuration.kafka.group = user
        let (findings, said) = try await tryOut(configuration)
        #expect(findings.count == 1 && findings[0].code == .refused, "\(findings)")
        #expect(findings.first?.message.contains(code) == true && said.contains(code), "\(findings) \(said)")
        // A table that cannot even be described is no alarm: a run does not begin.
        #expect(said.hasPrefix(user == "elsewhere" ? "ended: " : "forbidden: "), "\(said)")
      }
      #expect(try await clickhouse.queryText("SELECT count() FROM \(name)") == "0\n")
    }

    /// What 26.x says is scripted: the engine behind the front knows no other users.
    @Test func aServerWithGrants() async throws {
      let servers = try SharedServers.required()
      let name = "ungranted"
      let clickhouse = try servers.clickhouse()
      defer { clickhouse.close() }
      try servers.mock.createTopic(name, partitions: 1)
      try await TestTable.create(name, clickhouse)
      let ledger = try RecordLedger(brokers: servers.brokers)
      try await ledger.produce(10, to: name, partitions: 1)
      await ledger.close()
      let scripted = try ScriptedServer(
        ServerScript(afterwards: .refuse(497, status: 403)), forwardingTo: servers.url, keepsBodies: true)
      defer { scripted.stop() }
      var configuration = PipelineConfiguration.test(name, brokers: servers.brokers, url: scripted.url)
      configuration.clickhouse.user = "sink"
      configuration.routes[0].delivery = .atLeastOnce
      let (findings, said) = try await tryOut(configuration)
      #expect(findings.map(\.setting) == ["routes[1].table"] && findings[0].code == .refused, "\(findings)")
      #expect(findings.first?.message.contains("GRANT INSERT ON ungranted TO sink") == true, "\(findings)")
      #expect(said.hasPrefix("ungranted: ") && said.contains("497"), "\(said)")
      #expect(try scripted.inserts.first?.rows().isEmpty == true, "a check inserts nothing")
      configuration.clickhouse.url = servers.url
      #expect(try await Pipeline(configuration).check() == [])
      #expect(try await clickhouse.queryText("SELECT count() FROM \(name)") == "0\n")
    }
  }
}
