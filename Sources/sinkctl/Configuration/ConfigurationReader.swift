internal import ClickHouseClient
internal import Glibc
internal import KafkaClient
internal import Pipeline
internal import SinkTelemetry

/// Reads a file into a configuration; every problem at once, each with its line.
struct ConfigurationReader {
  let environment: Environment

  func read(path: String) -> Result<SinkctlConfiguration, ConfigurationProblems> {
    switch environment.readFile(path) {
    case .failure(let problem):
      return .failure(ConfigurationProblems([ConfigurationProblem(file: path, mark: nil, message: problem.reason)]))
    case .success(let text): return read(text, file: path)
    }
  }

  func read(_ text: String, file: String) -> Result<SinkctlConfiguration, ConfigurationProblems> {
    let list = ProblemList(file: file)
    guard let configuration = read(text, list) else { return .failure(ConfigurationProblems(list.inOrder)) }
    return .success(configuration)
  }

  /// - Returns: nil where the list has got problems.
  func read(_ text: String, _ list: ProblemList) -> SinkctlConfiguration? {
    let root: YAMLNode
    do throws(ConfigurationProblem) {
      root = try YAMLParser.parse(text, file: list.file)
    } catch {
      list.report(error.mark, error.message)
      return nil
    }
    guard var configuration = read(root, list), list.problems.isEmpty else { return nil }
    configuration.marks = root.marks()
    // What contradicts itself is said only where every single value can be read.
    for message in configuration.pipeline.validate() {
      let path = message.prefix { $0 != " " && $0 != ":" }
      list.report(path.contains(".") ? configuration.mark(of: String(path)) : nil, message)
    }
    return list.problems.isEmpty ? configuration : nil
  }

  private func read(_ root: YAMLNode, _ list: ProblemList) -> SinkctlConfiguration? {
    guard let top = SectionReader(root, name: "", problems: list, environment: environment) else {
      if list.problems.isEmpty { list.report(nil, "is empty; see docs/CONFIGURATION.md for what belongs here") }
      return nil
    }
    defer { top.finish() }
    let kafka = readKafka(top.required("kafka", top.section("kafka")))
    let clickhouse = readClickHouse(top.required("clickhouse", top.section("clickhouse")))
    let routes = readRoutes(top)
    let limits = readLimits(top.section("limits"))
    let admin = readAdmin(top.section("admin"))
    let (level, format) = readLog(top.section("log"))
    guard var kafka, let clickhouse else { return nil }
    if kafka.instanceID == nil { kafka.instanceID = environment.hostName() }
    let pipeline = PipelineConfiguration(kafka: kafka, clickhouse: clickhouse, routes: routes, limits: limits)
    return SinkctlConfiguration(pipeline: pipeline, admin: admin, logLevel: level, logFormat: format)
  }

  private func readClickHouse(_ section: SectionReader?) -> ClickHouseConfiguration? {
    guard let section else { return nil }
    defer { section.finish() }
    let url = section.requiredText("url")
    var configuration = ClickHouseConfiguration(url: url ?? "")
    if let database = section.text("database") { configuration.database = database }
    if let user = section.text("user") { configuration.user = user }
    if let password = section.secret("password") { configuration.password = password }
    if let tls = section.section("tls") {
      configuration.tls = ClickHouseConfiguration.TLS(
        caFile: tls.file("ca_file"), certificateFile: tls.file("certificate_file"), keyFile: tls.file("key_file"),
        keyPassword: tls.secret("key_password"), serverName: tls.text("server_name"))
      tls.finish()
    }
    configuration.proxy = section.text("proxy")
    if let compression = section.choice("compression", CompressionName.self) {
      configuration.compression = compression.compression
    }
    configuration.settings = section.pairs("settings").map { ($0.name, $0.value) }
    if let timeout = section.duration("connect_timeout", .milliseconds(100)...(.seconds(600))) {
      configuration.connectTimeout = timeout
    }
    if let timeout = section.duration("request_timeout", .seconds(1)...(.seconds(86400))) {
      configuration.requestTimeout = timeout
    }
    if let timeout = section.duration("stall_timeout", .seconds(1)...(.seconds(86400))) {
      configuration.stallTimeout = timeout
    }
    guard let url else { return nil }
    for message in configuration.validate() {
      let key = message.hasPrefix("clickhouse.tls.") ? "tls" : "url"
      // As it is written: what a variable holds may be a secret in the wrong place.
      section.problems.report(
        section.valueMark(of: key), message.replacing("'\(url)'", with: "'\(section.written("url"))'"))
    }
    return configuration
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
    if let bytes = section.bytes("memory", (16 << 20)...(1 << 40)) { limits.memoryBytes = bytes }
    if let count = section.integer("inserts_in_flight", 1...64) { limits.insertsInFlight = count }
    if let time = section.duration("drain", .milliseconds(100)...(.seconds(3600))) { limits.drain = time }
    if let time = section.duration("commit_interval", .milliseconds(10)...(.seconds(600))) {
      limits.commitInterval = time
    }
    section.finish()
    return limits
  }

  private func readAdmin(_ section: SectionReader?) -> SinkctlConfiguration.Admin {
    var admin = SinkctlConfiguration.Admin()
    guard let section else { return admin }
    defer { section.finish() }
    guard let listen = section.text("listen") else { return admin }
    guard listen != "off" else {
      admin.port = 0
      return admin
    }
    guard let colon = listen.lastIndex(of: ":"), let port = Int(listen[listen.index(after: colon)...]),
      (1...65535).contains(port), colon > listen.startIndex
    else {
      section.reject("listen", "it must be address:port, such as 127.0.0.1:9790, or off")
      return admin
    }
    let host = String(listen[..<colon])
    admin = SinkctlConfiguration.Admin(address: host == "localhost" ? "127.0.0.1" : host, port: port)
    if admin.ipv4 == nil {
      section.reject("listen", "before the port it must have an IPv4 address; 127.0.0.1 is this machine only")
    }
    return admin
  }

  private func readLog(_ section: SectionReader?) -> (LogLevel, SinkctlConfiguration.LogFormat) {
    guard let section else { return (.info, .text) }
    defer { section.finish() }
    let levels = LogLevel.allCases.map(\.description).joined(separator: ", ")
    let level = section.parsed("level", "one of \(levels)") { LogLevel(name: $0) }
    return (level ?? .info, section.choice("format", SinkctlConfiguration.LogFormat.self) ?? .text)
  }
}

/// All that is wrong with a file.
struct ConfigurationProblems: Error {
  let problems: [ConfigurationProblem]

  init(_ problems: [ConfigurationProblem]) { self.problems = problems }
}
