import ClickHouseClient
import KafkaClient
import Pipeline
import SinkTelemetry
import Testing

@testable import sinkctl

@Suite struct ConfigurationTests {
  static func environment(_ variables: [String: String] = [:], files: [String: String] = [:]) -> Environment {
    Environment(
      variable: { variables[$0] },
      readFile: { path in
        files[path].map { .success($0) } ?? .failure(Environment.FileProblem(message: "\(path): no such file"))
      })
  }

  static func read(_ text: String, _ environment: Environment = environment()) -> Result<
    SinkctlConfiguration, ConfigurationProblems
  > {
    ConfigurationReader(environment: environment).read(text, file: "t.yaml")
  }

  @Test func aWholeFileIsRead() throws {
    let environment = Self.environment(["PASS": "hunter2"], files: ["/run/secret": "s3cret\n"])
    let text = """
      kafka:
        brokers: [a:9096, b:9096]
        group: events-sink
        security: {protocol: sasl_tls, mechanism: scram-sha-512, username: u, password_file: /run/secret}
        properties: {fetch.wait.max.ms: 50}
      clickhouse:
        url: https://ch.example:8443
        password: ${PASS}
        compression: zstd
      routes:
        - topic: events
          table: analytics.events
          columns: {user: user.id, inserted: ~}
          dead_letters: {topic: events.dead}
          block: {max_rows: 1000, max_bytes: 8MiB, linger: 250ms}
      limits: {memory: 128MiB, inserts_in_flight: 2, drain: 5s}
      admin: {listen: 127.0.0.1:9999}
      log: {level: debug, format: json}
      """
    let configuration = try Self.read(text, environment).get()
    let route = try #require(configuration.pipeline.routes.first)
    #expect(configuration.pipeline.kafka.brokers == ["a:9096", "b:9096"])
    #expect(configuration.pipeline.clickhouse.password.reveal() == "hunter2")
    #expect(route.mapping.columns.map(\.path) == ["user.id", nil])
    #expect(route.deadLetters == .topic("events.dead"))
    #expect(route.block == SealPolicy(maxRows: 1000, maxBytes: 8 << 20, linger: .milliseconds(250)))
    #expect(configuration.pipeline.limits.memoryBytes == 128 << 20)
    #expect(configuration.admin.port == 9999)
    #expect(!String(describing: configuration).contains("hunter2"))
    #expect(!String(describing: configuration).contains("s3cret"))
  }

  @Test func everyProblemIsSaidAtOnceWithItsPlace() {
    let text = """
      kafka:
        brokers: [a:9092]
        gruop: g
      clickhouse:
        url: http://x:8123
        password: ${NOPE}
      routes:
        - topic: t
          table: t
          block: {linger: soon}
      limits: {memory: lots}
      """
    guard case .failure(let found) = Self.read(text) else {
      Issue.record("a broken file was read")
      return
    }
    let lines = found.problems.map(\.description)
    for expected in [
      "t.yaml:2:3: kafka.group is missing", "t.yaml:3:3: kafka.gruop is not a key that exists; did you mean 'group'?",
      "t.yaml:6:13: clickhouse.password: the environment has no variable NOPE; set it, or give a default: ${NOPE:-…}",
      "t.yaml:10:21: routes[1].block.linger is 'soon'; it must be a time such as 500ms, 20s, 5m or 1h",
      "t.yaml:11:18: limits.memory is 'lots'; it must be a size such as 64MiB, 512KiB or 1048576",
    ] {
      #expect(lines.contains(expected), "missing: \(expected) in \(lines)")
    }
  }

  @Test(arguments: [
    ("a: 1\na: 2", "'a' stands twice in one section; the first is in line 1"), ("a: &x 1", "anchors and aliases"),
    ("a: [1", "is not YAML"), ("", "is empty"), ("a: 1\n---\nb: 2", "a second document"),
  ])
  func whatIsNoConfigurationIsRefused(text: String, words: String) {
    guard case .failure(let found) = Self.read(text) else {
      Issue.record("read: \(text)")
      return
    }
    #expect(found.problems.contains { $0.message.contains(words) }, "\(found.problems)")
  }

  @Test(arguments: [
    ("a${X}b", "a1b"), ("${Y:-d}", "d"), ("$${X}", "${X}"), ("${X}${X}", "11"), ("no", "no"), ("${E:-e}", "e"),
  ])
  func variablesAreExpandedInValues(text: String, expanded: String) throws {
    #expect(try Self.environment(["X": "1", "E": ""]).expand(text).get() == expanded)
  }
}

@Suite struct CommandLineTests {
  @Test func optionsAreCheckedAgainstTheTable() throws {
    let arguments = try ArgumentParser.parse(
      ["--topic=t", "--header", "a=1", "--header=b=2", "--brokers", "x:1", "--", "--file"], for: ProduceCommand.command)
    #expect(arguments.value("topic") == "t")
    #expect(arguments.values("header") == ["a=1", "b=2"])
    #expect(arguments.operands == ["--file"])
    for (words, message) in [
      (["--tpic", "t"], "did you mean --topic?"), ([], "needs --topic"), (["--topic"], "needs its TOPIC"),
      (["--topic", "a", "--topic", "b"], "given twice"),
    ] {
      let problem = #expect(throws: UsageProblem.self) { try ArgumentParser.parse(words, for: ProduceCommand.command) }
      #expect(problem?.message.contains(message) == true, "\(String(describing: problem))")
    }
  }

  @Test func everyCommandExplainsItself() {
    for command in CommandTable.all {
      let text = HelpText.help(for: command)
      #expect(text.contains("usage: sinkctl \(command.name)"))
      for option in command.options { #expect(text.contains("--\(option.name)") && !option.help.isEmpty) }
    }
  }

  @Test func timestampsAndNumbersReadAsPeopleWriteThem() {
    #expect(Timestamp.text(1_795_521_382_234_000_000) == "2026-11-24T11:56:22.234Z")
    #expect(ProgressLine.grouped(-1_234_567) == "-1,234,567")
    #expect(JSONText.quoted("a\"\u{1}\n") == #""a\"\u0001\n""#)
  }
}
