import KafkaTestKit
import SinkTelemetry
import Synchronization
import TestServers
import Testing

@testable import KafkaClient

@Suite struct ConfigurationTests {
  private func refusal(_ change: (inout KafkaConsumerConfiguration) -> Void) -> KafkaError? {
    var configuration = KafkaConsumerConfiguration(brokers: ["localhost:1"], group: "g")
    change(&configuration)
    do throws(KafkaError) {
      _ = try KafkaConsumer(configuration)
      return nil
    } catch {
      return error
    }
  }

  @Test(arguments: [
    ("no.such.property", "1"), ("fetch.wait.max.ms", "soon"), ("fetch.wait.max.ms", "-7"),
    ("isolation.level", "read_all"),
    ("enable.auto.commit", "true"), ("enable.auto.offset.store", "true"), ("auto.offset.reset", "latest"),
    ("partition.assignment.strategy", "range"), ("enable.partition.eof", "false"), ("log.queue", "false"),
    ("group.protocol", "consumer"),
  ])
  func aPropertyThatCannotBeIsNamedWithItsValue(name: String, value: String) throws {
    let error = try #require(refusal { $0.properties = [name: value] })
    #expect(error.code == .configuration)
    #expect(error.message.contains(name), "\(error)")
    if name != "no.such.property" { #expect(error.message.contains(value), "\(error)") }
  }

  @Test func aFieldIsNamedWhereAPropertyWouldGoAroundIt() throws {
    for (name, field) in [
      ("group.id", "group"), ("group.instance.id", "instanceID"), ("session.timeout.ms", "sessionTimeout"),
    ] {
      let error = try #require(refusal { $0.properties = [name: "1"] })
      #expect(error.message.contains(name) && error.message.contains(field), "\(error)")
    }
  }

  @Test func valuesThatDoNotFitAreRefused() {
    #expect(refusal { $0.brokers = [] }?.message.contains("brokers") == true)
    #expect(refusal { $0.brokers = ["http://b:9092"] }?.message.contains("http://b:9092") == true)
    #expect(refusal { $0.brokers = ["SSL://b:9092"] } == nil, "librdkafka's own way to write it")
    #expect(refusal { $0.queuedMaxKilobytes = -1 }?.message.contains { $0.isNewline } == false)
    #expect(refusal { $0.group = "" }?.message.contains("group") == true)
    #expect(refusal { $0.instanceID = "" }?.message.contains("instanceID") == true)
    #expect(refusal { $0.revokeDeadline = .seconds(23) }?.message.contains("revokeDeadline") == true)
    #expect(refusal { $0.batchCapacity = 0 }?.message.contains("batchCapacity") == true)
    #expect(
      refusal { $0.security = .tls(caFile: nil, certificateFile: "/a.pem") }?.message.contains("keyFile") == true)
    #expect(
      refusal { $0.security = .sasl(mechanism: .plain, username: "", password: Secret("x")) }?.message.contains(
        "username")
        == true)
    #expect(refusal { _ in } == nil)
  }

  @Test func secretsAreNeverShown() throws {
    for name in ["sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret"] {
      let error = refusal { $0.properties = [name: "hunter2", "no.such.property": "1"] }
      #expect(error.map { !"\($0)".contains("hunter2") } ?? false)
    }
  }

  /// What delivery stands on, by name and value; DESIGN.md says why.
  @Test func theDefaultsAreThoseThatDeliveryNeeds() throws {
    let table = try PropertyTable.consumer(KafkaConsumerConfiguration(brokers: ["b:1"], group: "g", instanceID: "i"))
    let values = Dictionary(uniqueKeysWithValues: table.map { ($0.name, $0.value) })
    let expected = [
      "enable.auto.commit": "false", "enable.auto.offset.store": "false", "auto.offset.reset": "error",
      "partition.assignment.strategy": "cooperative-sticky", "enable.partition.eof": "true", "group.instance.id": "i",
      "heartbeat.interval.ms": "500", "fetch.wait.max.ms": "50", "queued.max.messages.kbytes": "16384",
      "fetch.message.max.bytes": "262144", "retry.backoff.ms": "1000", "reconnect.backoff.ms": "1000",
      "reconnect.backoff.max.ms": "1000", "isolation.level": "read_committed", "socket.keepalive.enable": "true",
      "security.protocol": "plaintext", "group.protocol": "classic",
    ]
    for (name, value) in expected { #expect(values[name] == value, "\(name)") }
  }

  @Test(.timeLimit(.minutes(10)))
  func librdkafkaSpeaksToTheCallersHandlerAndOnlyWhenThereIsSomethingToSay() async throws {
    let cluster = try MockCluster()
    try cluster.createTopic("events", partitions: 1)
    let lines = Mutex<[LogEvent]>([])
    let box = LogBox(lines)
    func configuration(_ brokers: [String]) -> KafkaConsumerConfiguration {
      var configuration = KafkaConsumerConfiguration(brokers: brokers, group: "quiet")
      configuration.logger = Logger(source: "test", level: .info, handler: box.note)
      return configuration
    }
    let quiet = try BackgroundRun(configuration(cluster.bootstrap), .topics(["events"]))
    try await eventually("an assignment") { !quiet.journal.now.given.isEmpty }
    try await quiet.stop()
    #expect(box.lines.withLock { $0 }.map(\.message) == [], "a start without a fault says nothing")
    let broken = try BackgroundRun(configuration(["127.0.0.1:1"]), .topics(["events"]))
    try await eventually("a complaint") { box.lines.withLock { $0.contains { $0.message.contains("127.0.0.1:1") } } }
    #expect(box.lines.withLock { $0 }.allSatisfy { $0.source == "librdkafka" && $0.level >= .warning })
    try await broken.stop()
  }

  private final class LogBox: Sendable {
    let lines: Mutex<[LogEvent]>
    init(_ lines: consuming Mutex<[LogEvent]>) { self.lines = lines }
    func note(_ event: LogEvent) { lines.withLock { $0.append(event) } }
  }

  /// A reader that waits for ever must say for what.
  @Test(.timeLimit(.minutes(10)), arguments: [true, false])
  func whatTheSimpleWaysWaitForIsSaid(byBatches: Bool) async throws {
    let box = LogBox(Mutex([]))
    var configuration = KafkaConsumerConfiguration(brokers: ["127.0.0.1:1"], group: "waiting")
    configuration.logger = Logger(source: "mine", handler: box.note)
    let consumer = try KafkaConsumer(configuration)
    let run = Task {
      if byBatches {
        try await consumer.forEachBatch(from: ["events"]) { _ in }
      } else {
        for try await _ in consumer.records(from: ["events"]) {}
      }
    }
    try await eventually("a word about it") {
      box.lines.withLock { lines in
        lines.contains { $0.source == "mine" && $0.metadata.contains { $0.value.contains("127.0.0.1:1") } }
      }
    }
    run.cancel()
    try await run.value
  }

  @Test(.timeLimit(.minutes(10))) func aSubscriptionToNothingIsAnError() async throws {
    let consumer = try KafkaConsumer(KafkaConsumerConfiguration(brokers: ["127.0.0.1:1"], group: "nothing"))
    for subscription in [KafkaSubscription.topics([]), .topics(["events", ""]), .assignment([])] {
      let error = await #expect(throws: KafkaError.self) {
        try await consumer.run(subscription, ScriptedHandler(Journal()))
      }
      #expect(error?.code == .invalidArgument && error?.message.contains("at least one") == true, "\(subscription)")
    }
  }

  @Test func statisticsAreReadAndNothingElseIs() {
    let json = """
      {"replyq":3,"rx_bytes":500,"rxmsgs":7,"brokers":{"b:1/1":{"rtt":{"avg":1500}},"b:2/2":{"rtt":{"avg":900}}},
      "topics":{"t":{"partitions":{"0":{"app_offset":4,"ls_offset":9,"hi_offset":11,"fetchq_cnt":2,"fetchq_size":64},
      "1":{"app_offset":-1001,"ls_offset":9,"hi_offset":9},"-1":{"app_offset":0}}}}}
      """
    let committed = ConsumerStatistics(json: json, .readCommitted)
    #expect(committed?.partitions.map(\.lag) == [5, nil])
    #expect(committed?.partitions.first?.queuedRecords == 2 && committed?.partitions.first?.queuedBytes == 64)
    #expect(committed?.receivedRecords == 7 && committed?.receivedBytes == 500 && committed?.queuedOperations == 3)
    #expect(committed?.roundTrip == .microseconds(1500))
    #expect(ConsumerStatistics(json: json, .readUncommitted)?.partitions.first?.lag == 7)
    for end in json.indices { #expect(ConsumerStatistics(json: String(json[..<end]), .readCommitted) == nil) }
  }
}
