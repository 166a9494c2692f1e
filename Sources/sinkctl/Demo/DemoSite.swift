internal import ClickHouseClient
internal import KafkaClient
internal import KafkaTestKit
internal import Pipeline

/// What the demo moves between: brokers, tables, and the configuration that names them.
struct DemoSite {
  /// The topics, files and tables of the demo have one name each.
  static let names = ["planes", "weather", "flights"]
  static let database = "sinkctl_demo"
  static let partitions = 8
  /// The mock cluster keeps a killed member for its session, and lets the next one wait for most of another: so it is
  /// short, if longer than the three seconds for which a new group waits. A real broker knows a static member again at
  /// once, and takes no less than six seconds by default.
  private static let session = (mock: "3300ms", real: "6s")

  let brokers: [String]
  let configurationPath: String
  let logPath: String
  let pipeline: PipelineConfiguration
  /// Its brokers end with it.
  let mock: MockCluster?
  let promise: DeliveryGuarantee

  /// Makes topics and the configuration file, in the directory of the data.
  /// - Parameter brokers: nil makes a mock cluster.
  static func make(
    directory: String, brokers named: [String]?, clickhouse: ClickHouseConfiguration
  ) async throws(PipelineError) -> DemoSite {
    let promise = try await promise(of: clickhouse)
    let mock: MockCluster?
    let brokers: [String]
    do throws(KafkaError) {
      mock = try named == nil ? MockCluster() : nil
      brokers = named ?? mock?.bootstrap ?? []
      try await makeTopics(brokers, mock)
    } catch {
      throw PipelineError(PipelineError.code(of: error), error.message, cause: error)
    }
    let path = "\(directory)/sinkctl.yaml"
    let group = "sinkctl-demo-\(UInt32.random(in: 0 ... .max))"
    let text = yaml(brokers, group, clickhouse, promise, mock == nil ? session.real : session.mock)
    do throws(TextFile.Problem) { try TextFile.write(text, to: path) } catch {
      throw PipelineError(.configuration, error.message)
    }
    switch ConfigurationReader(environment: .system).read(path: path) {
    case .failure(let found):
      throw PipelineError(.configuration, "the demo's own file is wrong", details: found.problems.map(\.description))
    case .success(let read):
      return DemoSite(
        brokers: brokers, configurationPath: path, logPath: "\(directory)/sinkctl.log", pipeline: read.pipeline,
        mock: mock, promise: promise)
    }
  }

  /// Servers before 22.x know no deduplication tokens.
  private static func promise(of clickhouse: ClickHouseConfiguration) async throws(PipelineError) -> DeliveryGuarantee {
    do throws(ClickHouseError) {
      let client = try ClickHouseClient(clickhouse)
      defer { client.close() }
      try await client.learnSettings()
      return client.knowsSetting("insert_deduplication_token") ? .exactlyOnce : .atLeastOnce
    } catch {
      let isAway = error.code == .transport || error.code == .proxy
      throw PipelineError(isAway ? .unreachable : .refused, error.message, cause: error)
    }
  }

  private static func makeTopics(_ brokers: [String], _ mock: MockCluster?) async throws(KafkaError) {
    if let mock {
      for name in names { try mock.createTopic(name, partitions: partitions) }
      return
    }
    let admin = try KafkaAdmin(brokers: brokers)
    let known = try await admin.metadata(within: .seconds(10)).topics.map(\.name)
    for name in names where !known.contains(name) {
      try await admin.createTopic(name, partitions: partitions, within: .seconds(10))
    }
  }

  /// What a person would write. A password stays in the environment.
  private static func yaml(
    _ brokers: [String], _ group: String, _ clickhouse: ClickHouseConfiguration, _ promise: DeliveryGuarantee,
    _ session: String
  ) -> String {
    let routes = names.map { name in
      """
        - topic: \(name)
          table: \(database).\(name)
          delivery: \(promise.rawValue)
          block: {max_rows: 20000, linger: 100ms}
      """
    }
    let hasPassword = Environment.system.variable("SINK_CLICKHOUSE_PASSWORD") != nil
    return """
      kafka:
        brokers: [\(brokers.map(JSONText.quoted).joined(separator: ", "))]
        group: \(group)
        instance_id: demo
        session_timeout: \(session)
      clickhouse:
        url: \(JSONText.quoted(clickhouse.url))
        user: \(JSONText.quoted(clickhouse.user))
      \(hasPassword ? "  password: ${SINK_CLICKHOUSE_PASSWORD}\n" : "")routes:
      \(routes.joined(separator: "\n"))
      admin: {listen: "off"}

      """
  }
}
