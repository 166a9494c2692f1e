internal import ClickHouseClient
internal import KafkaClient

extension Pipeline {
  /// How long each question to a server may take.
  private static let patience = Duration.seconds(10)

  /// Looks at both sides without moving anything: does librdkafka take the properties; are the brokers there, the topics
  /// for us to read, and the group for us to join; is ClickHouse there, do tables and columns fit, may we insert.
  /// - Returns: everything that is wrong, and notes; a run would start where there are only notes.
  public func check() async -> [PipelineFinding] {
    async let kafka = checkKafka()
    async let clickhouse = checkClickHouse()
    return await kafka + clickhouse
  }

  private func checkClickHouse() async -> [PipelineFinding] {
    let client: ClickHouseClient
    do throws(PipelineError) {
      client = try ClickHouseClient.open(configuration.clickhouse)
    } catch {
      return [PipelineFinding(.configuration, "clickhouse", error.message)]
    }
    defer { client.close() }
    do throws(PipelineError) {
      let survey = try await SchemaReader(configuration, client, transforms).survey(configuration.routes)
      guard survey.findings.isEmpty else { return survey.findings }
      return survey.notes + (await checkInserts(survey.routes, client))
    } catch {
      let setting = error.code == .refused ? "clickhouse.user" : "clickhouse.url"
      return [PipelineFinding(error.code, setting, error.message)]
    }
  }

  /// Inserts nothing into each table: a block of no rows is refused like any other where the user may not insert, the
  /// profile forbids it or one of our settings, and leaves no trace where it is taken.
  private func checkInserts(_ routes: [ResolvedRoute], _ client: ClickHouseClient) async -> [PipelineFinding] {
    var findings: [PipelineFinding] = []
    for (index, route) in routes.enumerated() {
      let place = "routes[\(index + 1)]"
      findings += await tryInsert(
        into: route.table, route.layout, route.insertSettings(client, configuration, intoDeadLetters: false),
        "\(place).table", client)
      guard let letters = route.deadLetterTable else { continue }
      findings += await tryInsert(
        into: letters.name, letters.layout, route.insertSettings(client, configuration, intoDeadLetters: true),
        "\(place).dead_letters", client)
    }
    return findings
  }

  private func tryInsert(
    into table: TableName, _ layout: BlockLayout, _ settings: [(String, String)], _ setting: String,
    _ client: ClickHouseClient
  ) async -> [PipelineFinding] {
    guard await takesEmptyInserts(table, client) else { return [] }
    // A block without rows uses up no token.
    let token = client.usesTokens ? "sinkctl-check" : nil
    switch await client.insert(Block(layout: layout), into: table, deduplicationToken: token, settings: settings) {
    case .accepted: return []
    case .rejected(let error), .unknown(let error):
      let user = configuration.clickhouse.user
      let grant = error.serverCode == 497 ? ". GRANT INSERT ON \(table) TO \(user)" : ""
      return [
        PipelineFinding(
          error.reaction == .retry ? .unreachable : .refused, setting,
          "the user \(user) cannot insert into \(table): \(error.message)\(grant)")
      ]
    }
  }

  /// Engines that write files elsewhere may make one also for nothing.
  private func takesEmptyInserts(_ table: TableName, _ client: ClickHouseClient) async -> Bool {
    let database = table.database.map(TableName.literal) ?? "currentDatabase()"
    let answer = try? await client.queryText(
      "SELECT engine FROM system.tables WHERE database = \(database) AND name = \(TableName.literal(table.table))")
    guard let engine = answer?.trimmed else { return false }
    return engine.hasSuffix("MergeTree") || ["Distributed", "Buffer", "Memory", "Null"].contains(engine)
  }

  private func checkKafka() async -> [PipelineFinding] {
    let kafka = configuration.kafka
    do throws(KafkaError) {
      _ = try KafkaConsumer(kafka)
    } catch {
      return [PipelineFinding(.configuration, kafka.properties.isEmpty ? "kafka" : "kafka.properties", error.message)]
    }
    do throws(KafkaError) {
      let admin = try KafkaAdmin(
        brokers: kafka.brokers, security: kafka.security, properties: kafka.connectionProperties)
      let cluster = try await admin.metadata(within: Self.patience)
      let topics = Dictionary(cluster.topics.map { ($0.name, $0) }) { first, _ in first }
      let found = configuration.routes.enumerated().flatMap { checkTopics($1, number: $0 + 1, topics) }
      let written = await checkDeadLetters(admin, topics)
      let group = await checkGroup(admin, topics)
      return found + written + (found.isEmpty && group.isEmpty ? await probe(topics) : group)
    } catch {
      let code = PipelineError.code(of: error)
      let setting = code == .refused || code == .configuration ? "kafka.security" : "kafka.brokers"
      return [PipelineFinding(code, setting, "Kafka: \(error.message)")]
    }
  }

  private func checkTopics(
    _ route: RouteConfiguration, number: Int, _ known: [String: KafkaAdmin.Topic]
  ) -> [PipelineFinding] {
    func check(_ name: String, _ setting: String, isDeadLetter: Bool = false) -> PipelineFinding? {
      let setting = "routes[\(number)].\(setting)"
      guard let topic = known[name] else {
        let grant = KafkaGrant(
          isDeadLetter ? .writing(topic: name) : .reading(topic: name), configuration.kafka.security)
        return PipelineFinding(
          .refused, setting,
          "topic '\(name)' does not exist, or this user may not see it. Create it, or: \(grant.advice)")
      }
      if let error = topic.error { return PipelineFinding(PipelineError.code(of: error), setting, error.message) }
      let orphans = topic.partitions.filter { $0.leader == nil }.map { String($0.partition) }
      guard !orphans.isEmpty else { return nil }
      let words =
        "topic '\(name)' has no leader for the partitions \(orphans.joined(separator: ", ")): a broker is down"
      return PipelineFinding(.unreachable, setting, words)
    }
    var findings: [PipelineFinding] = []
    for name in route.topics {
      guard name.hasPrefix("^") else {
        findings += [check(name, route.topics.count == 1 ? "topic" : "topics")].compactMap { $0 }
        continue
      }
      do throws(PipelineError) {
        let pattern = try TopicPattern(name)
        guard !known.keys.contains(where: pattern.matches) else { continue }
        findings.append(
          PipelineFinding(
            .refused, "routes[\(number)].topic_pattern", "no topic that this user may see matches '\(name)' today"))
      } catch {
        findings.append(PipelineFinding(.configuration, "routes[\(number)].topic_pattern", error.message))
      }
    }
    if case .topic(let name) = route.deadLetters {
      findings += [check(name, "dead_letters.topic", isDeadLetter: true)].compactMap { $0 }
    }
    return findings
  }

  /// Whether we may write to the topics of dead letters: seeing one is not enough. Where nobody says, a run does.
  private func checkDeadLetters(_ admin: KafkaAdmin, _ known: [String: KafkaAdmin.Topic]) async -> [PipelineFinding] {
    let wanted = configuration.routes.enumerated().compactMap { index, route -> (setting: String, topic: String)? in
      guard case .topic(let name) = route.deadLetters, known[name]?.error == nil, known[name] != nil else { return nil }
      return ("routes[\(index + 1)].dead_letters.topic", name)
    }
    let topics = Set(wanted.map(\.topic)).sorted()
    guard !topics.isEmpty, let allowed = try? await admin.operations(on: topics, within: Self.patience) else {
      return []
    }
    return wanted.filter { allowed[$0.topic]?.contains(.write) == false }.map { setting, topic in
      let grant = KafkaGrant(.writing(topic: topic), configuration.kafka.security)
      return PipelineFinding(
        .refused, setting,
        "topic '\(topic)' cannot be written to: this user may see it and not write to it. \(grant.advice)")
    }
  }

  /// Whether we may see the group's offsets, which a run begins with.
  private func checkGroup(_ admin: KafkaAdmin, _ topics: [String: KafkaAdmin.Topic]) async -> [PipelineFinding] {
    let names = configuration.routes.flatMap(\.topics).filter { topics[$0] != nil }
    guard !names.isEmpty else { return [] }
    do throws(KafkaError) {
      _ = try await admin.committedOffsets(
        group: configuration.kafka.group, names.map { TopicPartition($0, 0) }, within: Self.patience)
      return []
    } catch {
      return [PipelineFinding(PipelineError.code(of: error), "kafka.group", explained(error, topic: nil))]
    }
  }

  /// Whether we may read the topics and commit for the group: both can be missing where both can be seen.
  private func probe(_ topics: [String: KafkaAdmin.Topic]) async -> [PipelineFinding] {
    var wanted: [(setting: String, partition: TopicPartition)] = []
    for (number, route) in configuration.routes.enumerated() {
      for name in route.topics {
        let pattern = name.hasPrefix("^") ? try? TopicPattern(name) : nil
        let setting = pattern != nil ? "topic_pattern" : route.topics.count == 1 ? "topic" : "topics"
        for topic in topics.values where topic.name == name || pattern?.matches(topic.name) == true {
          guard let partition = topic.partitions.first(where: { $0.leader != nil }) else { continue }
          wanted.append(("routes[\(number + 1)].\(setting)", TopicPartition(topic.name, partition.partition)))
        }
      }
    }
    return await ask(wanted)
  }

  private func ask(_ wanted: [(setting: String, partition: TopicPartition)]) async -> [PipelineFinding] {
    do throws(KafkaError) {
      let partitions = Set(wanted.map(\.partition))
      let answer = try await ReadProbe(configuration: configuration.kafka)
        .ask(partitions.sorted { $0.topic < $1.topic }, within: Self.patience)
      var findings = wanted.compactMap { setting, partition in
        answer.reading[partition].map { error in
          PipelineFinding(
            PipelineError.code(of: error), setting,
            "topic '\(partition.topic)' cannot be read: \(explained(error, topic: partition.topic))")
        }
      }
      if let error = answer.committing {
        // Without the right to read a topic there is none to commit for it, which is said above.
        let topic = partitions.map(\.topic).min()
        let isSaid = error.nativeName == "TOPIC_AUTHORIZATION_FAILED" && !findings.isEmpty
        if !isSaid {
          findings.append(
            PipelineFinding(
              .refused, "kafka.group",
              "group '\(configuration.kafka.group)' takes no offsets of us: \(explained(error, topic: topic))"))
        }
      }
      return findings
    } catch {
      return [PipelineFinding(PipelineError.code(of: error), "kafka.brokers", "Kafka: \(error.message)")]
    }
  }

  private func explained(_ error: KafkaError, topic: String?) -> String {
    guard let grant = KafkaGrant(error, topic: topic, configuration.kafka) else { return error.message }
    return "\(error.message). \(grant.advice)"
  }
}

extension KafkaConsumerConfiguration {
  /// Of the free properties those that any client needs to reach a broker: producers and questions take them too.
  package var connectionProperties: [String: String] {
    properties.filter { property in
      ["ssl.", "sasl.", "security.", "socket.", "broker.address.", "client.", "enable.ssl.", "debug"]
        .contains { property.key.hasPrefix($0) }
    }
  }
}
