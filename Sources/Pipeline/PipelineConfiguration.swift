public import ClickHouseClient
public import KafkaClient
public import SinkTelemetry
internal import SinkThreads

/// Everything that a pipeline needs to know; plain values, nothing is read from files or the environment.
public struct PipelineConfiguration: Sendable {
  public var kafka: KafkaConsumerConfiguration
  public var clickhouse: ClickHouseConfiguration
  public var routes: [RouteConfiguration]
  public var limits: LimitsConfiguration
  public var retry: RetryPolicy
  public var logger: Logger
  /// How often a static member looks whether the group has given partitions to nobody.
  package var groupCheckInterval = Duration.seconds(10)

  public init(
    kafka: KafkaConsumerConfiguration, clickhouse: ClickHouseConfiguration, routes: [RouteConfiguration],
    limits: LimitsConfiguration = LimitsConfiguration(), retry: RetryPolicy = RetryPolicy(),
    logger: Logger = Logger(source: "Pipeline")
  ) {
    self.kafka = kafka
    self.clickhouse = clickhouse
    self.routes = routes
    self.limits = limits
    self.retry = retry
    self.logger = logger
  }

  private static let memoryMaxBytes = 1 << 40

  /// Bytes of `limits.memoryBytes` that blocks and dead letters may use: the rest is librdkafka's, which was seen to take
  /// 2.25 times its queue: records of 300 bytes, an operation for each, and fetches that are being read.
  var blockBudgetBytes: Int { limits.memoryBytes - min(max(0, kafka.queuedMaxKilobytes), 2_097_151) * 1024 * 9 / 4 }

  /// How long an insert may take, exactly once.
  var insertDeadline: Duration { max(.seconds(1), min(clickhouse.requestTimeout, .seconds(60))) }

  /// The same as the server's setting, in whole seconds.
  var executionTime: (name: String, value: String) { ("max_execution_time", "\(Int(insertDeadline.seconds))") }

  /// What the routes ask for, all of them: one Kafka handle keeps one promise. nil: whatever holds.
  var wantedDelivery: DeliveryGuarantee? {
    let wanted = routes.compactMap(\.delivery)
    return wanted.contains(.exactlyOnce) ? .exactlyOnce : wanted.first
  }

  /// Why it cannot be exactly once, whatever the tables are.
  var deliveryObstacles: [String] {
    guard kafka.instanceID == nil else { return [] }
    return ["kafka.instance_id is not set, and only a static member shuts out its own past"]
  }

  private var deliveryProblems: [String] {
    guard wantedDelivery == .exactlyOnce else { return [] }
    var problems = deliveryObstacles.map { "delivery: exactly_once cannot hold: \($0)" }
    if routes.contains(where: { $0.delivery == .atLeastOnce }) {
      problems.append("delivery: exactly_once and at_least_once do not go together in one pipeline: start two")
    }
    return problems
  }

  private func deadLetterTopicThatItReads(_ route: RouteConfiguration) -> String? {
    guard case .topic(let dead) = route.deadLetters else { return nil }
    if route.topics.contains(dead) { return dead }
    // A name goes before a pattern.
    guard !routes.contains(where: { $0.topics.contains(dead) }) else { return nil }
    return route.topics.contains { $0.hasPrefix("^") && (try? TopicPattern($0))?.matches(dead) == true } ? dead : nil
  }

  /// What contradicts itself, in words that name the setting; empty where nothing does.
  public func validate() -> [String] {
    var problems: [String] = []
    if routes.isEmpty { problems.append("there is no route: give at least one topic and its table") }
    for (index, route) in routes.enumerated() {
      let name = "route \(index + 1) (table \(route.table))"
      if route.topics.isEmpty { problems.append("\(name) has no topic") }
      if route.topics.contains("") { problems.append("\(name) has a topic without a name") }
      if let dead = deadLetterTopicThatItReads(route) {
        problems.append(
          "\(name) reads the topic '\(dead)' to which it sends its dead letters: each would come again, without end. Name "
            + "another topic, or narrow the pattern")
      }
      if route.block.maxRows < 1 { problems.append("\(name): block.max_rows is \(route.block.maxRows); at least 1") }
      if route.block.maxBytes < 1 << 16 {
        problems.append("\(name): block.max_bytes is \(route.block.maxBytes); at least 64KiB")
      }
      if route.block.linger <= .zero { problems.append("\(name): block.linger must be more than 0") }
    }
    problems += deliveryProblems
    if limits.insertsInFlight < 1 {
      problems.append("limits.inserts_in_flight is \(limits.insertsInFlight); at least 1")
    }
    if limits.memoryBytes > Self.memoryMaxBytes {
      problems.append("limits.memory is \(limits.memoryBytes >> 20)MiB; at most \(Self.memoryMaxBytes >> 20)MiB")
    }
    if blockBudgetBytes < 8 << 20 {
      problems.append(
        "limits.memory is \(limits.memoryBytes >> 20)MiB, which leaves \(max(0, blockBudgetBytes) >> 20)MiB for blocks "
          + "beside Kafka's queue; at least 8MiB: raise it, or lower kafka.properties.queued.max.messages.kbytes")
    }
    if limits.drain <= .zero { problems.append("limits.drain must be more than 0") }
    if limits.commitInterval <= .zero { problems.append("limits.commit_interval must be more than 0") }
    if limits.commitDeadline <= .zero { problems.append("limits.commitDeadline must be more than 0") }
    if retry.initial <= .zero || retry.cap < retry.initial {
      problems.append(
        "retry waits from \(retry.initial) up to \(retry.cap): the first must be more than 0, and no longer")
    }
    return problems
  }
}
