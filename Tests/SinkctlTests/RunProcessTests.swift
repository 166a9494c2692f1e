import ClickHouseClient
import Foundation
import Glibc
import KafkaClient
import KafkaTestKit
import TestServers
import Testing

@testable import sinkctl

/// `sinkctl run` and `check` as their users meet them: the built program between a mock cluster and the 26.x engine.
@Suite(
  .serialized, .enabled(if: TestMachine.hasFront, "chdb-core is not installed: run scripts/test"),
  .timeLimit(.minutes(10)))
struct RunProcessTests {
  @Test func aRunTellsWhatItDoesAndDrains() async throws {
    let site = try await RunSite.make()
    try await site.produce(0..<1000, bad: [7, 500])
    let program = try site.run(#"log: {format: json}"#)
    try await program.wait("998 rows") { try site.status()?["rows_inserted"] as? Int == 998 }

    let status = try #require(try site.status())
    #expect(status["phase"] as? String == "running" && status["dead_letters"] as? Int == 2, "\(status)")
    #expect(status["group"] as? String == site.group && status["version"] as? String == VersionCommand.version)
    try await program.wait("frontiers at the ends") {
      let partitions = try site.status()?["partitions"] as? [[String: Any]] ?? []
      return partitions.compactMap { $0["frontier"] as? Int }.reduce(0, +) == 1000
        && partitions.allSatisfy { $0["lag"] as? Int == 0 }
    }
    #expect(try site.get("/healthz").hasPrefix("HTTP/1.1 200"))
    #expect(try site.get("/readyz").hasSuffix("ready\n"))
    #expect(try site.get("/nothing").hasPrefix("HTTP/1.1 404"))
    #expect(try site.ask("POST", "/metrics").hasPrefix("HTTP/1.1 405"))
    try checkMetrics(of: site)

    let second = try await site.run().end()
    #expect(second.code == 78, "\(second)")
    #expect(second.error.contains("admin.listen: cannot listen on 127.0.0.1:\(site.adminPort): Address already in use"))

    program.send(SIGTERM)
    let result = try await program.end()
    #expect(result.code == 0, "\(result)")
    #expect(result.out.isEmpty)
    let events = try result.error.split(separator: "\n").map { line in
      try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String], "no JSON: \(line)")
    }
    let start = try #require(events.first)
    #expect(start["message"] == "sinkctl \(VersionCommand.version)" && start["group"] == site.group, "\(start)")
    #expect(events.contains { $0["message"] == "route" && $0["table"] == "events" })
    #expect(events.last?["message"] == "drained" && events.last?["rows"] == "998", "\(events)")
    #expect(try await site.rows() == 998)
    #expect(!result.error.contains(RunSite.password))
  }

  private func checkMetrics(of site: RunSite) throws {
    let page = try site.get("/metrics").firstRange(of: "\r\n\r\n").map { $0.upperBound }
    let text = try site.get("/metrics")[try #require(page)...]
    #expect(text.contains("sinkctl_rows_inserted_total{table=\"events\"} 998\n"))
    #expect(text.contains("sinkctl_build_info{version=\"\(VersionCommand.version)\"} 1\n"))
    #expect(text.contains("\nprocess_resident_memory_bytes "))
    guard Shell.has("promtool") else { return }
    let file = try site.directory.write("metrics", String(text))
    #expect(try Shell.run("promtool check metrics < '\(file)' 2>&1") == "")
  }

  @Test func rowsOfADeadLetterTableAreDeadLettersAndNoRows() async throws {
    let site = try await RunSite.make()
    _ = try await site.clickhouse.queryText(
      "CREATE TABLE dead (_offset Int64, reason String, _value String) ENGINE = MergeTree ORDER BY _offset")
    try await site.produce(0..<10, bad: [4])
    let program = try site.run(deadLetters: "{table: dead}")
    try await program.wait("all of them") { try site.status()?["rows_inserted"] as? Int == 9 }
    try await program.wait("the dead letter") {
      try await site.clickhouse.queryText("SELECT reason, _value FROM dead")
        == "out_of_range\t{\"id\":-1,\"name\":\"n4\"}\n"
    }
    let status = try #require(try site.status())
    #expect(status["rows_inserted"] as? Int == 9 && status["dead_letters"] as? Int == 1, "\(status)")
    program.send(SIGTERM)
    #expect(try await program.end().code == 0)
  }

  @Test func anAuditSaysWhatIsMissingAndWhatIsThereTwice() async throws {
    let site = try await RunSite.make()
    try await site.produce(0..<500, bad: [7, 50])
    let program = try site.run()
    try await program.wait("498 rows") { try site.status()?["rows_inserted"] as? Int == 498 }
    program.send(SIGTERM)
    #expect(try await program.end().code == 0)
    let file = try site.directory.write("audit.yaml", site.configuration())
    let clean = try await SinkctlProcess.run(["audit", "--config", file])
    #expect(clean.code == 0 && clean.error.isEmpty, "\(clean)")
    #expect(clean.out.hasSuffix("every offset is accounted for once: 500 in 2 partitions\n"), "\(clean)")

    _ = try await site.clickhouse.queryText("ALTER TABLE events DELETE WHERE id IN (3, 4)")
    _ = try await site.clickhouse.queryText("INSERT INTO events SELECT * FROM events WHERE id = 9")
    try await program.wait("the rows are gone") { try await site.rows() == 496 }
    let broken = try await SinkctlProcess.run(["audit", "--config", file, "--json"])
    #expect(broken.code == 1 && broken.error.isEmpty, "\(broken)")
    let object = try #require(JSONSerialization.jsonObject(with: Data(broken.out.utf8)) as? [String: Any])
    #expect(object["ok"] as? Bool == false && object["offsets"] as? Int == 500)
    #expect(object["missing"] as? Int == 2 && object["doubled"] as? Int == 1 && object["dead_letters"] as? Int == 2)
    let partitions = try #require(object["partitions"] as? [[String: Any]])
    let kinds = partitions.flatMap { $0["findings"] as? [[String: Any]] ?? [] }.compactMap { $0["kind"] as? String }
    #expect(Set(kinds) == ["missing_row", "doubled"], "\(broken.out)")
    let text = try await SinkctlProcess.run(["audit", "--config", file])
    #expect(
      text.code == 1 && text.out.contains(": should be in the table\n") && text.out.contains(": 2 rows\n"), "\(text)")
    #expect(text.out.hasSuffix("of 500 offsets 2 are missing, and 1 is there more than once\n"), "\(text)")
  }

  @Test func onATerminalALineStandsAndControlCDrains() async throws {
    let site = try await RunSite.make()
    try await site.produce(0..<100)
    let program = try site.run("log: {format: text}", onTerminal: true)
    try await program.wait("a progress line with the rows") { program.out.contains("100 rows ·") }
    program.write("\u{3}")
    let result = try await program.end()
    #expect(result.code == 0, "\(result)")
    #expect(result.out.contains("\r\u{1B}[2K"), "the line is drawn in place")
    for words in ["rows/s", "MB/s", "lag ", "in flight", "stopping: draining", "drained rows=100"] {
      #expect(result.out.contains(words), "no '\(words)' in \(result.out)")
    }
    #expect(!result.out.contains("pipeline: progress"), "on a terminal the log has no progress")
  }

  @Test func asSystemdWantsItAndASecondSignalEndsAtOnce() async throws {
    let site = try await RunSite.make()
    let program = try site.run("log: {format: journald}\nlimits: {drain: 1m}")
    try await program.wait("its start") { try site.status()?["phase"] as? String == "running" }
    // The engine stands still: the drain has something to wait for.
    site.front.send(SIGSTOP)
    defer { site.front.send(SIGCONT) }
    try await site.produce(0..<10)
    try await program.wait("an insert under way") { try site.status()?["inserts_in_flight"] as? Int == 1 }
    program.send(SIGTERM)
    // The same wish, said twice: no second signal.
    program.send(SIGTERM)
    try await program.wait("draining") { try site.status()?["phase"] as? String == "draining" }
    #expect(try site.get("/readyz").hasSuffix("not ready: draining\n"))
    try await Task.sleep(for: .milliseconds(700))
    #expect(program.isRunning)
    program.send(SIGINT)
    let result = try await program.end(within: .patience)
    #expect(result.code == 128 + SIGINT, "\(result)")
    let priorities = Set(result.error.split(separator: "\n").map { $0.prefix(3) })
    #expect(priorities.isSubset(of: ["<2>", "<3>", "<4>", "<5>", "<6>"]), "\(result.error)")
    #expect(priorities.isSuperset(of: ["<5>", "<6>"]))
  }

  /// librdkafka says thousands of lines a second, into a pipe that nobody reads: rows flow, and the end comes in time.
  @Test func aLogThatNobodyReadsHoldsUpNeitherRowsNorTheEnd() async throws {
    let site = try await RunSite.make()
    try await site.produce(0..<1000)
    let pipe = Pipe()
    let writingEnd = dup(pipe.fileHandleForWriting.fileDescriptor)
    defer { close(writingEnd) }
    let text = site.configuration(kafka: "properties: {debug: all}", "log: {level: trace}")
    let file = try site.directory.write("loud.yaml", text)
    let program = try SinkctlProcess(["run", "--config", file], input: nil, unread: pipe)
    try await program.wait("a full pipe") {
      var room = pollfd(fd: writingEnd, events: Int16(POLLOUT), revents: 0)
      return unsafe poll(&room, 1, 0) == 0
    }
    try await program.wait("all rows") { try site.status()?["rows_inserted"] as? Int == 1000 }
    program.send(SIGTERM)
    #expect(try await program.end(within: .patience).code == 0)
    #expect(try await site.rows() == 1000)
  }

  @Test func eachWayToFailHasItsCodeAndItsWords() async throws {
    let site = try await RunSite.make()
    try await site.produce(0..<10, bad: [3])
    let stop = try await site.run(deadLetters: "stop").end()
    #expect(stop.code == 1, "\(stop)")
    #expect(stop.error.contains("column id is UInt64") && stop.error.contains("give the route dead_letters"), "\(stop)")

    let table = try await site.run(table: "nothing").end()
    #expect(table.code == 77 && table.error.contains("Table default.nothing does not exist"), "\(table)")

    // A server that is away is waited for, and the log says so.
    let port = try FreePorts.pick(1)[0]
    let waiting = try site.run(clickhouse: "http://127.0.0.1:\(port)")
    try await waiting.wait("a word on ClickHouse") { waiting.error.contains("ClickHouse cannot be reached") }
    #expect(try site.get("/readyz").hasSuffix("not ready: starting\n"))
    waiting.send(SIGTERM)
    let ended = try await waiting.end(within: .patience)
    #expect(ended.code == 0, "\(ended)")

    // So are brokers: the tables are read, and there is no group to be ready in.
    let outside = try site.run(broker: "127.0.0.1:\(port)")
    try await outside.wait("the tables are read") { outside.error.contains("ClickHouse answers") }
    try await Task.sleep(for: .seconds(1))
    #expect(try site.get("/readyz").hasSuffix("not ready: starting\n"))
    outside.send(SIGTERM)
    #expect(try await outside.end(within: .patience).code == 0)
  }

  @Test func checkSaysEverythingAtOnceWithItsPlace() async throws {
    let site = try await RunSite.make()
    let well = try await site.check()
    #expect(well.code == 0 && well.out.contains("all is well: 'run' would start"), "\(well)")

    _ = try await site.clickhouse.queryText(
      "CREATE TABLE odd (id UInt64, state AggregateFunction(sum, UInt8), made UInt8 MATERIALIZED 1) ENGINE = MergeTree ORDER BY id"
    )
    _ = try await site.clickhouse.queryText("CREATE TABLE useless (z UInt8) ENGINE = MergeTree ORDER BY z")
    let text = site.configuration(
      table: "odd", deadLetters: "{table: useless}",
      "  - topic: nothing\n    table: nothing\n    dead_letters: {topic: nobody}\n  - topic_pattern: ^none\n    table: events\n"
        + "    columns:\n      made_up: a.b\n")
    let file = try site.directory.write("all.yaml", text)
    let all = try await SinkctlProcess.run(["check", "--config", file])
    #expect(all.code == 77, "\(all)")
    for (place, words) in [
      ("table: odd", "column state: has type AggregateFunction"), ("{table: useless}", "none of the columns _value"),
      ("topic: nothing", "topic 'nothing' does not exist"), ("table: nothing", "Table default.nothing does not exist"),
      ("{topic: nobody}", "topic 'nobody' does not exist"), ("^none", "no topic that this user may see matches"),
      ("made_up", "table events has no such column"),
    ] {
      let line = try #require(
        text.split(separator: "\n", omittingEmptySubsequences: false).firstIndex { $0.contains(place) })
      let said = all.out.split(separator: "\n").filter { $0.hasPrefix("\(file):\(line + 1):") && $0.contains(words) }
      #expect(said.count == 1, "'\(words)' in line \(line + 1): \(all.out)")
    }
    #expect(all.out.hasSuffix("7 findings\n"), "\(all.out)")

    let port = try FreePorts.pick(1)[0]
    let dead = try await site.check(broker: "127.0.0.1:\(port)", clickhouse: "http://127.0.0.1:\(port)")
    #expect(dead.code == 69, "\(dead)")
    for words in ["Kafka: ", "Connection refused", "ClickHouse cannot be reached"] { #expect(dead.out.contains(words)) }
  }

  @Test(
    .enabled(if: TestMachine.kafkaScript != nil, "needs Java and a Kafka start script (SINK_KAFKA_BROKER_SCRIPT)"))
  func credentialsAndInstanceIDsOnARealKafka() async throws {
    var options = KafkaBroker.Options()
    options.users = ["sink": "right"]
    let broker = try await KafkaBroker.start(version: "3.9.2", options)
    let site = try await RunSite.make(brokers: [broker.bootstrap])
    let security =
      "security: {protocol: sasl_plaintext, mechanism: scram-sha-512, username: sink, password: wrong-password}"
    let refused = try await site.check(broker: broker.address(.sasl), kafka: security)
    #expect(refused.code == 77 && refused.out.contains("Authentication failed"), "\(refused)")
    #expect(!(refused.out + refused.error).contains("wrong-password"))
    let welcome = try await site.check(
      broker: broker.address(.sasl), kafka: security.replacing("wrong-password", with: "right"))
    #expect(welcome.code == 0, "\(welcome)")

    let first = try site.run()
    try await first.wait("its partitions") { (try site.status()?["partitions"] as? [Any])?.isEmpty == false }
    let second = try site.run("admin: {listen: 'off'}")
    let result = try await first.end()
    #expect(result.code == 70, "\(result)")
    #expect(
      result.error.contains("nother process has joined") && result.error.contains("under our instance id"), "\(result)")
    second.send(SIGTERM)
    #expect(try await second.end().code == 0)
  }
}

/// What a run needs: brokers, the engine, a table, a file.
final class RunSite: Sendable {
  static let password = "hunter2-must-not-show"

  let directory: TemporaryDirectory
  let front: ChildServer
  let url: String
  let clickhouse: ClickHouseClient
  let brokers: [String]
  let group = "group-\(UUID().uuidString)"
  let adminPort: Int
  /// Ends with us.
  private let mock: MockCluster?

  /// - Parameter brokers: nil starts a mock cluster.
  static func make(brokers: [String]? = nil) async throws -> RunSite {
    let mock = try brokers == nil ? MockCluster() : nil
    let (front, url) = try await TestMachine.startFront()
    let site = try RunSite(mock, brokers ?? mock?.bootstrap ?? [], front, url)
    let columns = "id UInt64, name String, _topic String, _partition Int32, _offset Int64"
    _ = try await site.clickhouse.queryText("CREATE TABLE events (\(columns)) ENGINE = MergeTree ORDER BY id")
    if let mock {
      for topic in ["events", "events.dead"] { try mock.createTopic(topic, partitions: 2) }
    } else {
      let admin = try KafkaAdmin(brokers: site.brokers)
      for topic in ["events", "events.dead"] { try await admin.createTopic(topic, partitions: 2, within: .patience) }
    }
    return site
  }

  private init(_ mock: MockCluster?, _ brokers: [String], _ front: ChildServer, _ url: String) throws {
    self.mock = mock
    self.brokers = brokers
    self.front = front
    self.url = url
    directory = try TemporaryDirectory()
    clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: url))
    adminPort = try FreePorts.pick(1)[0]
  }

  deinit {
    clickhouse.close()
    front.stop()
  }

  func configuration(
    broker: String? = nil, clickhouse: String? = nil, table: String = "events",
    deadLetters: String = "{topic: events.dead}", kafka: String = "", _ more: String = ""
  ) -> String {
    let admin = more.contains("admin:") ? "" : "admin: {listen: '127.0.0.1:\(adminPort)'}\n"
    return """
      kafka:
        brokers: [\(broker ?? brokers.joined(separator: ","))]
        group: \(group)
        instance_id: tester
        \(kafka)
      clickhouse:
        url: \(clickhouse ?? url)
        password: \(Self.password)
      routes:
        - topic: events
          table: \(table)
          dead_letters: \(deadLetters)
          block: {linger: 100ms}
      \(more.hasPrefix("  ") ? "\(more)\(admin)" : "\(admin)\(more)\n")
      """
  }

  func run(
    _ more: String = "", broker: String? = nil, clickhouse: String? = nil, table: String = "events",
    deadLetters: String = "{topic: events.dead}", onTerminal: Bool = false
  ) throws -> SinkctlProcess {
    let text = configuration(broker: broker, clickhouse: clickhouse, table: table, deadLetters: deadLetters, more)
    let file = try directory.write("\(UUID().uuidString).yaml", text)
    return try SinkctlProcess(["run", "--config", file], input: nil, onTerminal: onTerminal)
  }

  func check(broker: String? = nil, clickhouse: String? = nil, kafka: String = "") async throws -> SinkctlProcess.Result
  {
    let file = try directory.write(
      "\(UUID().uuidString).yaml", configuration(broker: broker, clickhouse: clickhouse, kafka: kafka))
    return try await SinkctlProcess.run(["check", "--config", file])
  }

  /// Through `sinkctl produce`; bad ones have an id that is none.
  func produce(_ ids: Range<Int>, bad: Set<Int> = []) async throws {
    let lines = ids.map { #"{"id":\#(bad.contains($0) ? -1 : $0),"name":"n\#($0)"}"# }
    let result = try await SinkctlProcess.run(
      ["produce", "--brokers", brokers.joined(separator: ","), "--topic", "events"],
      input: lines.joined(separator: "\n"))
    guard result.code == 0 else { throw WaitedInVain(message: "\(result)") }
  }

  func rows() async throws -> Int? {
    let text = try await clickhouse.queryText("SELECT uniqExact(_partition, _offset) FROM events")
    return Int(text.trimmingCharacters(in: .whitespacesAndNewlines))
  }

  func ask(_ method: String, _ path: String) throws -> String {
    try Loopback.exchange(
      port: adminPort, "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
  }

  func get(_ path: String) throws -> String { try ask("GET", path) }

  /// nil before the listener is there.
  func status() throws -> [String: Any]? {
    guard FreePorts.isOpen(adminPort) else { return nil }
    let answer = try get("/status")
    guard let body = answer.firstRange(of: "\r\n\r\n") else { return nil }
    return try JSONSerialization.jsonObject(with: Data(answer[body.upperBound...].utf8)) as? [String: Any]
  }
}
