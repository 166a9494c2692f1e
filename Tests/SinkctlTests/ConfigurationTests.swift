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
        files[path].map { .success($0) } ?? .failure(Environment.FileProblem(path: path, reason: "no such file"))
      },
      checkFile: { path in files[path] == nil ? Environment.FileProblem(path: path, reason: "no such file") : nil })
  }

  static func read(_ text: String, _ environment: Environment = environment()) -> Result<
    SinkctlConfiguration, ConfigurationProblems
  > {
    ConfigurationReader(environment: environment).read(text, file: "t.yaml")
  }

  /// Exactly once needs an instance id: the default is one.
  @Test func theHostIsTheInstanceUnlessItHasAName() throws {
    func text(_ more: String) -> String {
      """
      kafka: {brokers: [a:9092], group: g\(more)}
      clickhouse: {url: "http://c:8123"}
      routes: [{topic: t, table: t, delivery: exactly_once}]
      """
    }
    var environment = Self.environment()
    environment.hostName = { "sink-7" }
    #expect(try Self.read(text(""), environment).get().pipeline.kafka.instanceID == "sink-7")
    #expect(try Self.read(text(", instance_id: mine"), environment).get().pipeline.kafka.instanceID == "mine")
  }

  @Test func aWholeFileIsRead() throws {
    let environment = Self.environment(["PASS": "hunter2"], files: ["/run/secret": "s3cret\r\n\n"])
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
    #expect(String(describing: configuration.pipeline.kafka.security).contains("***"))
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
      "t.yaml:10:21: routes[1].block.linger is 'soon'; it must be a time from 1ms to 1h, written as 500ms, 20s, 5m or 1h",
      "t.yaml:11:18: limits.memory is 'lots'; it must be a size from 16MiB to 1024GiB, written as 64MiB, 512KiB or 1048576",
    ] {
      #expect(lines.contains(expected), "missing: \(expected) in \(lines)")
    }
    #expect(lines.count == 5, "more than is wrong: \(lines)")
    let places = found.problems.compactMap(\.mark).map { [$0.line, $0.column] }
    #expect(places == places.sorted { $0.lexicographicallyPrecedes($1) }, "not in the order of the file")
  }

  /// A file that is well but for one line, by the problem that this makes.
  @Test(arguments: [
    ("kafka", "brokers: a:9092", nil), ("kafka", "brokers: [a]", "kafka.brokers must be a list of host:port"),
    ("kafka", "brokers: ['a:9092,b:9092']", "kafka.brokers must be a list of host:port"),
    ("kafka", "brokers: [SSL://a:9092]", "kafka.brokers must be a list of host:port"),
    ("kafka", "brokers: []", "kafka.brokers must be a list of host:port"),
    ("kafka", "brokers: {a: 1}", "kafka.brokers must be a list, not a section"),
    ("kafka", "session_timeout: 0s", "kafka.session_timeout is '0s'; it must be a time from 500ms to 30m"),
    ("kafka", "session_timeout: -1s", "kafka.session_timeout is '-1s'; it must be a time"),
    ("kafka", "session_timeout: 45", "kafka.session_timeout is '45'; it must be a time"),
    ("kafka", "start: newest", "kafka.start is 'newest'; it must be one of earliest, latest, error"),
    ("kafka", "instance_id: ''", "kafka.instance_id is ''"),
    ("kafka", "group: ''", "kafka.group is empty"),
    ("kafka", "properties: {queued.max.messages.kbytes: many}", "must be a whole number from 1 to 2097151"),
    ("kafka", "security: {ca_file: /ca}", "kafka.security.protocol is missing"),
    ("kafka", "security: {protocol: tls, ca_file: /nowhere}", "kafka.security.ca_file: /nowhere: no such file"),
    (
      "kafka", "security: {protocol: plaintext, ca_file: /ca}",
      "kafka.security.ca_file has no meaning with the protocol plaintext"
    ),
    ("kafka", "security: {protocol: tls, username: u}", "kafka.security.username has no meaning with the protocol tls"),
    ("kafka", "security: {protocol: sasl_tls, mechanism: plain, username: u}", "kafka.security.password is missing"),
    ("kafka", "security: {protocol: sasl_tls, mechanism: aws_msk_iam}", "this version cannot do that yet"),
    (
      "kafka", "security: {protocol: sasl_tls, mechanism: plain, username: u, password: a, password_file: /ca}",
      "are both set; keep one"
    ),
    (
      "kafka", "security: {protocol: sasl_tls, mechanism: plain, username: u, password_file: /empty}",
      "/empty: is empty"
    ),
    ("clickhouse", "url: x:8123", "has no scheme"), ("clickhouse", "url: ''", "clickhouse.url is empty"),
    ("clickhouse", "url: 'http://u:hunter2@x:8123'", "clickhouse.url holds a user or password"),
    ("clickhouse", "url: 'http://x:8123/?a=b'", "settings have a section of their own"),
    ("clickhouse", "request_timeout: 1ms", "clickhouse.request_timeout is '1ms'; it must be a time from 1s to 24h"),
    ("clickhouse", "compression: snappy", "it must be one of lz4, zstd, gzip, none"),
    ("clickhouse", "password_file: /nowhere", "clickhouse.password_file: /nowhere: no such file"),
    ("clickhouse", "settings: [a]", "clickhouse.settings must be a section of keys and values, not a list"),
    ("route", "topic: 'a b'", "names a topic that cannot be"),
    ("route", "topics: [a, '']", "names a topic that cannot be"),
    ("route", "topic_pattern: ^a", "needs one of topic, topics and topic_pattern, and has 2"),
    ("route", "table: ''", "routes[1].table is empty"),
    ("route", "delivery: sometimes", "routes[1].delivery is 'sometimes'; it must be one of"),
    ("route", "transforms: [mask]", "transforms are written in Swift"),
    ("route", "dead_letters: keep", "must be stop, skip, {topic: …} or {table: …}"),
    ("route", "dead_letters: {topic: a, table: b}", "needs either topic or table"),
    ("route", "dead_letters: {topic: 'a b'}", "routes[1].dead_letters.topic is 'a b'"),
    ("route", "block: {max_rows: 0}", "routes[1].block.max_rows is '0'; it must be a whole number from 1 to 10000000"),
    ("route", "block: {max_rows: 1e3}", "it must be a whole number"),
    ("route", "block: {max_bytes: 1KiB}", "it must be a size from 64KiB to 1GiB"),
    ("route", "block: {max_bytes: 64M}", "it must be a size"), ("route", "block: {max_bytes: -1}", "it must be a size"),
    ("route", "block: {max_bytes: 99999999999999GiB}", "it must be a size"),
    ("route", "columns: {a: [b]}", "routes[1].columns.a must be a single value, not a list"),
    ("top", "limits: {inserts_in_flight: 65}", "it must be a whole number from 1 to 64"),
    ("top", "limits: {memory: 24MiB}", "raise it, or lower kafka.properties.queued.max.messages.kbytes"),
    ("top", "limits: {drain: 1d}", "limits.drain is '1d'; it must be a time from 100ms to 1h"),
    ("top", "limits: 5", "limits must be a section of keys and values, not a single value"),
    ("top", "admin: {listen: 9790}", "it must be address:port"),
    ("top", "admin: {listen: '127.0.0.1:99999'}", "it must be address:port"),
    ("top", "admin: {listen: 'here:9790'}", "it must have an IPv4 address"),
    ("top", "admin: {listen: 'localhost:9790'}", nil),
    ("top", "log: {level: loud}", "log.level is 'loud'; it must be one of trace"),
    ("top", "routse: []", "routse is not a key that exists; did you mean 'routes'?"),
    ("top", "<<: {a: 1}", "merges (<<) are not read here"),
  ])
  func eachWrongValueHasItsWords(place: String, line: String, words: String?) throws {
    var lines = [
      "kafka": ["brokers: [a:9092]", "group: g"], "clickhouse": ["url: 'http://x:8123'"],
      "route": ["topic: t", "table: t"], "top": [],
    ]
    let key = line.prefix { $0 != ":" } + ":"
    lines[place] = (lines[place] ?? []).filter { !$0.hasPrefix(key) } + [line]
    func block(_ name: String, _ indent: String) -> String {
      (lines[name] ?? []).map { "\n" + indent + $0 }.joined()
    }
    let text =
      "kafka:\(block("kafka", "  "))\nclickhouse:\(block("clickhouse", "  "))\nroutes:\n  -\(block("route", "    "))\(block("top", ""))\n"
    let files = ["/ca": "x", "/empty": "\n"]
    switch Self.read(text, Self.environment(files: files)) {
    case .success: #expect(words == nil, "was read: \(text)")
    case .failure(let found):
      let messages = found.problems.map(\.description)
      #expect(messages.count == 1 && words.map { messages[0].contains($0) } == true, "\(messages)")
      #expect(!messages.joined().contains("hunter2"))
    }
  }

  /// Whatever a variable holds, no problem spells it.
  @Test func whatAVariableHoldsIsNeverShown() {
    let text = """
      kafka: {brokers: [a:9092], group: g, start: "${S}", session_timeout: "${S}", security: {protocol: "${S}"}}
      clickhouse: {url: "${S}", compression: "${S}", password_file: /x}
      routes: [{topic: "${S} x", table: t, dead_letters: "${S}", block: {max_rows: "${S}", max_bytes: "${S}"}}]
      limits: {drain: "${S}"}
      admin: {listen: "${S}"}
      log: {level: "${S}", format: "${S}"}
      """
    guard case .failure(let found) = Self.read(text, Self.environment(["S": "hunter2"])) else {
      Issue.record("a broken file was read")
      return
    }
    let lines = found.problems.map(\.description)
    #expect(lines.count == 14, "\(lines)")
    #expect(!lines.contains { $0.contains("hunter2") }, "\(lines)")
    #expect(lines.contains { $0.contains("limits.drain is '${S}'") }, "as it is written: \(lines)")
  }

  @Test(arguments: [
    ("a: 1\na: 2", "'a' stands twice in one section; the first is in line 1"), ("a: &x 1", "anchors and aliases"),
    ("a: *x", "anchors and aliases"), ("a: {<<: *x}", "anchors and aliases"),
    ("&x a: 1", "a key must be a single value"),
    ("? [a]\n: 1", "a key must be a single value"), ("a:\n\tb: 1", "with spaces, never with tabs"),
    ("a: [1", "is not YAML"), ("", "is empty"), ("# only words\n", "is empty"), ("~", "is empty"),
    ("a: 1\n---\nb: 2", "a second document"), ("- a", "must be a section of keys and values, not a list"),
    (String(repeating: "[", count: 40), "nested deeper than 32 levels"),
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
    ("${E}", ""), ("${Y:-}", ""), ("${Y:-${X}}", "1"), ("${Y:-a${Z:-${X}b}c}d", "a1bcd"), ("${X:-${NO}}", "1"),
    ("${Y:-$${X}", "${X"), ("$X $ {X} }", "$X $ {X} }"), ("${D}", "${X}"), ("${Y:-a:-b}", "a:-b"),
  ])
  func variablesAreExpandedInValues(text: String, expanded: String) throws {
    let variables = ["X": "1", "E": "", "D": "${X}"]
    #expect(try VariableExpansion(variable: { variables[$0] }).expand(text) == expanded)
  }

  @Test(arguments: [
    ("${X", "without its '}'"), ("${Y:-${X}", "without its '}'"), ("${}", "names no variable"),
    ("${a-b}", "names no variable"),
    ("${1}", "names no variable"), ("${Y}", "the environment has no variable Y"), ("${Y:-${NO}}", "no variable NO"),
    (String(repeating: "${Y:-", count: 12) + String(repeating: "}", count: 12), "nested deeper than 8 levels"),
  ])
  func brokenVariablesAreRefused(text: String, words: String) {
    let problem = #expect(throws: VariableExpansion.Problem.self) {
      try VariableExpansion(variable: { $0 == "X" ? "1" : nil }).expand(text)
    }
    #expect(problem?.message.contains(words) == true, "\(String(describing: problem))")
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
