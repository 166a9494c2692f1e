internal import SinkTelemetry
internal import SinkThreads

/// One of librdkafka's properties, under its own name.
struct Property: Sendable {
  let name: String
  let value: String
  /// The value must never be shown.
  var isSecret = false
  /// Newer than the oldest librdkafka that we run with: left out where it is unknown.
  var isOptional = false
}

/// The only file that spells librdkafka's property names.
enum PropertyTable {
  static func consumer(_ configuration: KafkaConsumerConfiguration) throws(KafkaError) -> [Property] {
    try check(configuration)
    let session = configuration.sessionTimeout
    var table = common(configuration.brokers, configuration.clientID, configuration.security)
    table += [
      Property(name: "group.id", value: configuration.group),
      Property(name: "session.timeout.ms", value: text(session)),
      Property(name: "heartbeat.interval.ms", value: text(min(.milliseconds(500), session / 3))),
      Property(name: "max.poll.interval.ms", value: text(max(.seconds(300), session))),
      Property(name: "isolation.level", value: configuration.isolation.rawValue),
      Property(name: "fetch.wait.max.ms", value: text(configuration.fetchWaitMax)),
      Property(name: "queued.max.messages.kbytes", value: "\(configuration.queuedMaxKilobytes)"),
      Property(name: "fetch.message.max.bytes", value: "\(configuration.fetchMessageMaxBytes)"),
      Property(name: "queued.min.messages", value: "\(configuration.queuedMinMessages)"),
      // Full queue: look again soon instead of after a second. librdkafka 2.2 and later.
      Property(name: "fetch.queue.backoff.ms", value: "50", isOptional: true),
      // A record that a disk or a wire has changed is an error, not a row; 0.03 CPU seconds a million records of 300 bytes.
      Property(name: "check.crcs", value: "true"),
      // New topics of a pattern and new partitions are seen within a minute; the default is five.
      Property(name: "topic.metadata.refresh.interval.ms", value: "60000"),
      Property(name: "statistics.interval.ms", value: text(configuration.statisticsInterval ?? .zero)),
    ]
    if let instance = configuration.instanceID { table.append(Property(name: "group.instance.id", value: instance)) }
    table += deliveryProtocol
    return try merge(table, configuration.properties, fixed: consumerFixed)
  }

  static func producer(_ configuration: KafkaProducerConfiguration) throws(KafkaError) -> [Property] {
    try checkBrokers(configuration.brokers)
    try check(configuration.security)
    var table = common(configuration.brokers, configuration.clientID, configuration.security)
    table += [
      Property(name: "linger.ms", value: text(configuration.linger)),
      Property(name: "delivery.timeout.ms", value: text(configuration.deliveryTimeout)),
      Property(name: "queue.buffering.max.messages", value: "\(configuration.queuedMaxRecords)"),
      Property(name: "queue.buffering.max.kbytes", value: "\(configuration.queuedMaxKilobytes)"),
      Property(name: "message.max.bytes", value: "\(configuration.recordMaxBytes)"),
    ]
    table += producerProtocol
    return try merge(table, configuration.properties, fixed: producerFixed)
  }

  static func admin(
    brokers: [String], security: KafkaSecurity, properties: [String: String], isolation: IsolationLevel,
    clientID: String
  ) throws(KafkaError) -> [Property] {
    try checkBrokers(brokers)
    try check(security)
    let table =
      common(brokers, clientID, security) + [Property(name: "isolation.level", value: isolation.rawValue)]
    return try merge(table, properties, fixed: ["log.queue": "true"])
  }

  /// librdkafka says at each start that a handle of the other kind ignores them (the first before 2.2); it does not.
  static let misnamed = ["retry.backoff.ms is a producer property", "isolation.level is a consumer property"]

  /// What exactly-once and at-least-once delivery stand on: offsets move only by our own commits, a missing offset is an
  /// error and not a guess, rebalances are cooperative, the end of a partition is an event.
  private static let deliveryProtocol = [
    Property(name: "enable.auto.commit", value: "false"),
    Property(name: "enable.auto.offset.store", value: "false"),
    Property(name: "partition.assignment.strategy", value: "cooperative-sticky"),
    Property(name: "auto.offset.reset", value: "error"),
    Property(name: "enable.partition.eof", value: "true"),
    Property(name: "group.protocol", value: "classic", isOptional: true),
  ]

  private static let producerProtocol = [
    Property(name: "enable.idempotence", value: "true"),
    Property(name: "acks", value: "all"),
  ]

  /// Values that a caller may repeat but not change; nil: there is a field for it, named by the error.
  private static let consumerFixed: [String: String?] = {
    var fixed: [String: String?] = [
      "log.queue": "true", "group.id": nil, "group.instance.id": nil, "session.timeout.ms": nil,
    ]
    for property in deliveryProtocol { fixed[property.name] = property.value }
    return fixed
  }()

  private static let producerFixed: [String: String?] = [
    "log.queue": "true", "enable.idempotence": "true", "acks": "all", "transactional.id": nil,
  ]

  private static let fields = [
    "group.id": "use `group`", "group.instance.id": "use `instanceID`", "session.timeout.ms": "use `sessionTimeout`",
    "transactional.id": "this producer has no transactions",
  ]

  private static func merge(
    _ table: [Property], _ properties: [String: String], fixed: [String: String?]
  ) throws(KafkaError) -> [Property] {
    for (name, value) in properties.sorted(by: { $0.key < $1.key }) {
      guard let wanted = fixed[name] else { continue }
      guard let wanted else {
        throw .configuration("property \(name) cannot be set directly: \(fields[name] ?? "use its field")")
      }
      guard wanted == value else {
        throw .configuration("property \(name) must stay \(wanted), not \(value): the delivery protocol stands on it")
      }
    }
    let secrets = [
      "sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password", "sasl.oauthbearer.config",
    ]
    let ours = table.filter { properties[$0.name] == nil }
    return ours
      + properties.sorted { $0.key < $1.key }.map {
        Property(name: $0.key, value: $0.value, isSecret: secrets.contains($0.key) || $0.key.contains("secret"))
      }
  }

  private static func common(_ brokers: [String], _ clientID: String, _ security: KafkaSecurity) -> [Property] {
    var table = [
      Property(name: "bootstrap.servers", value: brokers.joined(separator: ",")),
      Property(name: "client.id", value: clientID),
      Property(name: "log.queue", value: "true"),
      Property(name: "socket.keepalive.enable", value: "true"),
      // With the default maximum of 10 s, librdkafka 2.0 loses a session over a cut of 3 s.
      Property(name: "reconnect.backoff.ms", value: "1000"),
      Property(name: "reconnect.backoff.max.ms", value: "1000"),
      Property(name: "retry.backoff.ms", value: "1000"),
      Property(name: "retry.backoff.max.ms", value: "1000", isOptional: true),
      // Connect at once: a newer librdkafka otherwise waits half of the back-off above before its second connection.
      Property(name: "enable.sparse.connections", value: "false", isOptional: true),
    ]
    let layer = security.tls == nil ? "plaintext" : "ssl"
    table.append(
      Property(name: "security.protocol", value: security.sasl == nil ? layer : "sasl_\(layer)"))
    if let tls = security.tls {
      table.append(Property(name: "ssl.endpoint.identification.algorithm", value: "https"))
      if let file = tls.caFile { table.append(Property(name: "ssl.ca.location", value: file)) }
      if let file = tls.certificateFile { table.append(Property(name: "ssl.certificate.location", value: file)) }
      if let file = tls.keyFile { table.append(Property(name: "ssl.key.location", value: file)) }
      if let secret = tls.keyPassword {
        table.append(Property(name: "ssl.key.password", value: secret.reveal(), isSecret: true))
      }
    }
    if let sasl = security.sasl {
      table.append(Property(name: "sasl.mechanism", value: sasl.mechanism.rawValue))
      table.append(Property(name: "sasl.username", value: sasl.username))
      table.append(Property(name: "sasl.password", value: sasl.password.reveal(), isSecret: true))
    }
    return table
  }

  private static func check(_ configuration: KafkaConsumerConfiguration) throws(KafkaError) {
    try checkBrokers(configuration.brokers)
    try check(configuration.security)
    guard !configuration.group.isEmpty else { throw .configuration("group is empty: name the consumer group") }
    guard configuration.instanceID?.isEmpty != true else {
      throw .configuration("instanceID is empty: give a name that no other process of the group has, or nil")
    }
    let session = configuration.sessionTimeout
    guard session >= .milliseconds(30) else { throw .configuration("sessionTimeout \(session) is below 30 ms") }
    guard configuration.revokeDeadline > .zero, configuration.revokeDeadline < session / 2 else {
      throw .configuration(
        "revokeDeadline \(configuration.revokeDeadline) must be below half of sessionTimeout \(session)")
    }
    guard configuration.batchCapacity > 0, configuration.batchCapacity <= 1_000_000 else {
      throw .configuration("batchCapacity \(configuration.batchCapacity) is not from 1 to 1000000")
    }
    guard configuration.shutdownDeadline >= .zero, configuration.closeDeadline >= .zero else {
      throw .configuration("shutdownDeadline and closeDeadline must not be negative")
    }
  }

  private static func checkBrokers(_ brokers: [String]) throws(KafkaError) {
    guard !brokers.isEmpty, brokers.allSatisfy({ !$0.isEmpty }) else {
      throw .configuration("brokers must name at least one host:port, and none may be empty; they are \(brokers)")
    }
    // librdkafka only logs them, and waits for brokers for ever.
    for broker in brokers {
      guard let end = broker.firstRange(of: "://")?.lowerBound else { continue }
      guard ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"].contains(broker[..<end].lowercased()) else {
        throw .configuration("brokers: '\(broker)' is no broker's address; give it as host:port")
      }
    }
  }

  private static func check(_ security: KafkaSecurity) throws(KafkaError) {
    if let tls = security.tls, (tls.certificateFile == nil) != (tls.keyFile == nil) {
      throw .configuration("mutual TLS needs both certificateFile and keyFile; one of them is missing")
    }
    if let sasl = security.sasl, sasl.username.isEmpty {
      throw .configuration("SASL \(sasl.mechanism.rawValue) needs a username; it is empty")
    }
  }

  private static func text(_ duration: Duration) -> String { "\(duration.milliseconds)" }
}

extension KafkaError {
  static func configuration(_ message: String) -> KafkaError { KafkaError(code: .configuration, message: message) }
  static func state(_ message: String) -> KafkaError { KafkaError(code: .state, message: message) }
}
