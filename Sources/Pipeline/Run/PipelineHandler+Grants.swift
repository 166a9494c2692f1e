internal import KafkaClient
internal import SinkTelemetry

/// What a broker does not allow: librdkafka says it once and goes on asking. An alarm says what to grant, until it has
/// been granted.
extension PipelineHandler {
  /// - Parameter topics: that the error may be about.
  /// - Returns: whether it is about a grant.
  @discardableResult
  mutating func refused(_ error: KafkaError, _ topics: Set<String>) -> Bool {
    let candidates =
      topics.isEmpty
      ? [KafkaGrant(error, topic: nil, context.configuration.kafka)]
      : topics.map { KafkaGrant(error, topic: $0, context.configuration.kafka) }
    let grants = candidates.compactMap { $0 }
    for grant in grants {
      let name = grant.alarmName
      let words = "\(error.message). \(grant.advice)"
      _ = context.alarms.raise(name, words)
      guard refusals.insert(name).inserted else { continue }
      context.logger.error("Kafka refuses us until somebody allows it; records wait", ["of": name, "error": words])
    }
    return !grants.isEmpty
  }

  /// - Parameter error: one that ended something; the same words, with what to allow.
  func explained(_ error: KafkaError) -> String {
    let topics = Set(partitions.values.map(\.topicPartition.topic) + unassigned.partitions.map(\.topic))
    guard let grant = KafkaGrant(error, topic: topics.count == 1 ? topics.first : nil, context.configuration.kafka)
    else { return error.message }
    return "\(error.message). \(grant.advice)"
  }

  /// Something went well that the topic's grant is for.
  mutating func allowed(_ topic: String) { clearRefusal("topic \(topic)") }

  /// The group has given us something.
  mutating func allowedGroup() { clearRefusal("group \(context.configuration.kafka.group)") }

  private mutating func clearRefusal(_ name: String) {
    guard refusals.remove(name) != nil else { return }
    if context.alarms.clear(name) { context.logger.notice("Kafka allows it again", ["of": name]) }
  }
}

extension KafkaGrant {
  /// As alarms call what is refused.
  fileprivate var alarmName: String {
    switch resource {
    case .reading(let topic), .writing(let topic): "topic \(topic)"
    case .group(let group): "group \(group)"
    }
  }
}
