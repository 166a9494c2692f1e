internal import ClickHouseClient
internal import KafkaClient
internal import Pipeline
internal import SinkTelemetry

/// Reads a file into a configuration; every problem at once, each with its line.
struct ConfigurationReader {
  let environment: Environment

  func read(path: String) -> Result<SinkctlConfiguration, ConfigurationProblems> {
    switch environment.readFile(path) {
    case .failure(let problem):
      return .failure(ConfigurationProblems([ConfigurationProblem(file: path, mark: nil, message: problem.message)]))
    case .success(let text): return read(text, file: path)
    }
  }

  func read(_ text: String, file: String) -> Result<SinkctlConfiguration, ConfigurationProblems> {
    let root: YAMLNode
    do throws(ConfigurationProblem) {
      root = try YAMLParser.parse(text, file: file)
    } catch {
      return .failure(ConfigurationProblems([error]))
    }
    let list = ProblemList(file: file)
    let configuration = read(root, list)
    // What contradicts itself is said only where every single value can be read.
    if let configuration, list.problems.isEmpty {
      let found = configuration.pipeline.validate() + configuration.pipeline.clickhouse.validate()
      for message in found { list.report(nil, message) }
    }
    guard let configuration, list.problems.isEmpty else {
      return .failure(ConfigurationProblems(list.problems))
    }
    return .success(configuration)
  }

  private func read(_ root: YAMLNode, _ list: ProblemList) -> SinkctlConfiguration? {
    guard let top = SectionReader(root, name: "", problems: list, environment: environment) else {
      if list.problems.isEmpty { list.report(nil, "is empty") }
      return nil
    }
    let kafka = readKafka(top.required("kafka", top.section("kafka")))
    let clickhouse = readClickHouse(top.required("clickhouse", top.section("clickhouse")))
    let (routes, marks) = readRoutes(top)
    let limits = readLimits(top.section("limits"))
    guard let kafka, let clickhouse else {
      _ = (top.node("admin"), top.node("log"))
      top.finish()
      return nil
    }
    var configuration = SinkctlConfiguration(
      pipeline: PipelineConfiguration(kafka: kafka, clickhouse: clickhouse, routes: routes, limits: limits))
    configuration.routeMarks = marks
    readAdmin(top.section("admin"), &configuration)
    if let log = top.section("log") {
      if let name = log.text("level") {
        if let level = LogLevel(name: name) {
          configuration.logLevel = level
        } else {
          let all = LogLevel.allCases.map(\.description).joined(separator: ", ")
          list.report(log.mark(of: "level"), "log.level is '\(name)'; it must be one of \(all)")
        }
      }
      configuration.logFormat = log.choice("format", SinkctlConfiguration.LogFormat.self) ?? .text
      log.finish()
    }
    top.finish()
    return configuration
  }

  private func readKafka(_ section: SectionReader?) -> KafkaConsumerConfiguration? {
    guard let section else { return nil }
    let brokers = section.required("brokers", section.list("brokers"))
    let group = section.required("group", section.text("group"))
    var configuration = KafkaConsumerConfiguration(brokers: brokers ?? [], group: group ?? "")
    configuration.instanceID = section.text("instance_id")
    configuration.start = section.choice("start", StartOffset.self) ?? .earliest
    configuration.isolation = section.choice("isolation", IsolationLevel.self) ?? .readCommitted
    if let timeout = section.duration("session_timeout") {
      configuration.sessionTimeout = timeout
      configuration.revokeDeadline = min(configuration.revokeDeadline, timeout * 0.45)
    }
    configuration.security = readSecurity(section.section("security")) ?? .plaintext
    for entry in section.pairs("properties") { configuration.properties[entry.name] = entry.value }
    // Part of the memory budget, so the pipeline must know it too.
    if let text = configuration.properties["queued.max.messages.kbytes"], let value = Int(text) {
      configuration.queuedMaxKilobytes = value
      configuration.properties["queued.max.messages.kbytes"] = nil
    }
    section.finish()
    return brokers == nil || group == nil ? nil : configuration
  }

  private enum SecurityProtocol: String, CaseIterable {
    case plaintext, tls
    case saslPlaintext = "sasl_plaintext"
    case saslTLS = "sasl_tls"
  }

  private enum Mechanism: String, CaseIterable {
    case plain
    case scramSHA256 = "scram-sha-256"
    case scramSHA512 = "scram-sha-512"

    var native: KafkaSecurity.Mechanism {
      switch self {
      case .plain: .plain
      case .scramSHA256: .scramSHA256
      case .scramSHA512: .scramSHA512
      }
    }
  }

  private func readSecurity(_ section: SectionReader?) -> KafkaSecurity? {
    guard let section else { return nil }
    defer { section.finish() }
    // Never plaintext by omission: whoever writes a security section means something by it.
    guard let kind = section.required("protocol", section.choice("protocol", SecurityProtocol.self)) else {
      for key in [
        "ca_file", "certificate_file", "key_file", "key_password", "key_password_file", "mechanism", "username",
        "password", "password_file",
      ] {
        _ = section.node(key)
      }
      return nil
    }
    let tls = KafkaSecurity.TLS(
      caFile: section.text("ca_file"), certificateFile: section.text("certificate_file"),
      keyFile: section.text("key_file"), keyPassword: section.secret("key_password"))
    let mechanism = section.choice("mechanism", Mechanism.self)
    let username = section.text("username")
    let password = section.secret("password")
    switch kind {
    case .plaintext: return .plaintext
    case .tls: return .tls(tls)
    case .saslPlaintext, .saslTLS:
      guard let mechanism = section.required("mechanism", mechanism),
        let username = section.required("username", username), let password = section.required("password", password)
      else { return nil }
      return .sasl(
        mechanism: mechanism.native, username: username, password: password, tls: kind == .saslTLS ? tls : nil)
    }
  }

  private func readClickHouse(_ section: SectionReader?) -> ClickHouseConfiguration? {
    guard let section else { return nil }
    let url = section.required("url", section.text("url"))
    var configuration = ClickHouseConfiguration(url: url ?? "")
    if let database = section.text("database") { configuration.database = database }
    if let user = section.text("user") { configuration.user = user }
    if let password = section.secret("password") { configuration.password = password }
    if let tls = section.section("tls") {
      configuration.tls = ClickHouseConfiguration.TLS(
        caFile: tls.text("ca_file"), certificateFile: tls.text("certificate_file"), keyFile: tls.text("key_file"),
        keyPassword: tls.secret("key_password"), serverName: tls.text("server_name"))
      tls.finish()
    }
    configuration.proxy = section.text("proxy")
    if let compression = section.choice("compression", CompressionName.self) {
      configuration.compression = compression.compression
    }
    configuration.settings = section.pairs("settings").map { ($0.name, $0.value) }
    if let timeout = section.duration("connect_timeout") { configuration.connectTimeout = timeout }
    if let timeout = section.duration("request_timeout") { configuration.requestTimeout = timeout }
    if let timeout = section.duration("stall_timeout") { configuration.stallTimeout = timeout }
    section.finish()
    return url == nil ? nil : configuration
  }

  private enum CompressionName: String, CaseIterable {
    case lz4, zstd, gzip, none

    var compression: BlockCompression {
      switch self {
      case .lz4: .lz4
      case .zstd: .zstd(level: 3)
      case .gzip: .gzip(level: 6)
      case .none: .none
      }
    }
  }

  private func readLimits(_ section: SectionReader?) -> LimitsConfiguration {
    var limits = LimitsConfiguration()
    guard let section else { return limits }
    if let bytes = section.bytes("memory") { limits.memoryBytes = bytes }
    if let count = section.integer("inserts_in_flight", 1...64) { limits.insertsInFlight = count }
    if let time = section.duration("drain") { limits.drain = time }
    if let time = section.duration("commit_interval") { limits.commitInterval = time }
    section.finish()
    return limits
  }

  private func readAdmin(_ section: SectionReader?, _ configuration: inout SinkctlConfiguration) {
    guard let section else { return }
    defer { section.finish() }
    guard let listen = section.text("listen") else { return }
    if listen == "off" {
      configuration.admin.port = 0
      return
    }
    guard let colon = listen.lastIndex(of: ":"), let port = Int(listen[listen.index(after: colon)...]),
      (1...65535).contains(port), colon > listen.startIndex
    else {
      section.problems.report(
        section.mark(of: "listen"),
        "admin.listen is '\(listen)'; it must be address:port, such as 127.0.0.1:9790, or off")
      return
    }
    configuration.admin = SinkctlConfiguration.Admin(address: String(listen[..<colon]), port: port)
  }
}

/// All that is wrong with a file.
struct ConfigurationProblems: Error {
  let problems: [ConfigurationProblem]

  init(_ problems: [ConfigurationProblem]) { self.problems = problems }
}
