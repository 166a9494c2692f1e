import ClickHouseClient
import KafkaClient
import Pipeline
import SinkTelemetry
import TestServers
import Testing

extension RealServerTests {
  /// A broker with ACLs: what is not allowed is found by `check`, and said by `run` until somebody allows it.
  @Suite(
    .serialized,
    .enabled(
      if: TestMachine.hasFront && TestMachine.kafkaScript != nil, "needs chdb-core, Java and SINK_KAFKA_BROKER_SCRIPT"),
    .sharedServers, .timeLimit(.minutes(5)))
  struct GrantTests {
    private static let topic = "granted"

    private static let users = ["whole", "blind", "unread", "outside", "onlooker", "late", "later"]

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
      try await admin.createTopic(name, partitions: 2, within: .seconds(30))
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
        group: name, [TopicPartition(name, 0), TopicPartition(name, 1)], within: .seconds(10))
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
