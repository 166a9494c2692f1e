internal import ClickHouseClient
internal import KafkaClient
internal import SinkThreads

/// Asks Kafka and ClickHouse what a pipeline's group holds, without joining it.
struct OffsetsReader {
  struct Answer {
    let membership: KafkaAdmin.Group?
    let partitions: [FoundPartition]
    let notes: [String]
    /// The routes' tables, where ClickHouse could be asked; with a place for each route.
    let tables: [Int: ResolvedRoute]
  }

  private struct Place {
    let partition: TopicPartition
    let route: Int
  }

  /// How long a question may take.
  static let patience = Duration.seconds(15)

  let configuration: PipelineConfiguration
  let transforms: [String: any Transform]
  let admin: KafkaAdmin
  let client: ClickHouseClient
  let time: TimeSource

  func read() async throws(PipelineError) -> Answer {
    var notes: [String] = []
    let places: [Place]
    let tables: [Int: ResolvedRoute]
    let delivery: DeliveryGuarantee
    let kafka: (committed: [CommittedOffset], starts: [CommittedOffset], ends: [CommittedOffset])
    let membership: KafkaAdmin.Group?
    do throws(KafkaError) {
      let cluster = try await admin.metadata(within: Self.patience)
      let topics = Dictionary(cluster.topics.map { ($0.name, $0) }) { first, _ in first }
      places = try self.places(topics, &notes)
      async let found = readTables()
      async let group = readGroup()
      kafka = try await readOffsets(places.map(\.partition))
      let (resolved, guarantee, tableNotes) = await found
      let (described, groupNotes) = await group
      tables = resolved
      delivery = guarantee
      membership = described
      notes += tableNotes + groupNotes
    } catch {
      throw PipelineError(PipelineError.code(of: error), "Kafka: \(error.message)", cause: error)
    }
    let now = time.wallNanoseconds() / 1_000_000_000
    let byPartition = [kafka.committed, kafka.starts, kafka.ends].map { answers in
      Dictionary(answers.map { ($0.partition, $0) }) { first, _ in first }
    }
    let holders = FoundPartition.holders(kafka.committed)
    let partitions = places.map { place in
      var route = configuration.routes[place.route]
      route.delivery = delivery
      return FoundPartition(
        FoundPartition.Facts(
          partition: place.partition, route: place.route, configuration: route,
          start: configuration.kafka.start, delivery: tables[place.route]?.delivery,
          committed: byPartition[0][place.partition], logStart: byPartition[1][place.partition],
          logEnd: byPartition[2][place.partition], holders: holders), wallSeconds: now)
    }
    return Answer(membership: membership, partitions: partitions, notes: notes, tables: tables)
  }

  private func readOffsets(
    _ partitions: [TopicPartition]
  ) async throws(KafkaError) -> ([CommittedOffset], [CommittedOffset], [CommittedOffset]) {
    let committed = try await admin.committedOffsets(
      group: configuration.kafka.group, partitions, within: Self.patience)
    let starts = try await admin.offsets(partitions, at: .earliest, within: Self.patience)
    let ends = try await admin.offsets(partitions, at: .latest, within: Self.patience)
    return (committed, starts, ends)
  }

  private func readGroup() async -> (KafkaAdmin.Group?, notes: [String]) {
    do throws(KafkaError) {
      return (try await admin.describeGroup(configuration.kafka.group, within: Self.patience), [])
    } catch {
      return (nil, ["who is in the group is not known: \(error.message)"])
    }
  }

  /// What exactly once would go by now.
  private func readTables() async -> ([Int: ResolvedRoute], DeliveryGuarantee, notes: [String]) {
    guard configuration.wantedDelivery != .atLeastOnce else { return ([:], .atLeastOnce, []) }
    do throws(PipelineError) {
      let survey = try await SchemaReader(configuration, client, transforms).survey(configuration.routes)
      var tables: [Int: ResolvedRoute] = [:]
      for route in survey.routes {
        let index = configuration.routes.firstIndex {
          $0.table == route.configuration.table && $0.topics == route.configuration.topics
        }
        if let index { tables[index] = route }
      }
      var notes = survey.findings.map { "\($0.setting): \($0.message)" }
      for (index, route) in tables { tables[index]?.delivery = await measured(route, &notes) }
      let delivery = survey.findings.isEmpty ? survey.delivery.guarantee : configuration.wantedDelivery ?? .exactlyOnce
      return (tables, delivery, Set(notes).sorted())
    } catch {
      // Taken for the one in which something can stand still.
      return ([:], .exactlyOnce, ["how long blocks may be sent again is not known: \(error.message)"])
    }
  }

  /// How long the table remembers tokens, at the rate of the busiest minute that the server still shows.
  private func measured(_ route: ResolvedRoute, _ notes: inout [String]) async -> DeliveryTable? {
    guard var delivery = route.delivery, !delivery.windows.isEmpty else { return route.delivery }
    var horizons: [Duration] = []
    for window in delivery.windows {
      let rate = await TokenRate.busiestMinute(of: window.table, client)
      if rate == nil {
        notes.append(
          "how fast tokens of \(window.table) are used up is not known (system.parts cannot be read): "
            + "\(Int(TokenRate.assumed)) a second are assumed")
      }
      horizons.append(window.horizon(at: max(TokenRate.assumed, rate ?? 0)))
    }
    delivery.horizon = horizons.min() ?? delivery.horizon
    return delivery
  }

  /// - Throws: `unknownTopicOrPartition` where there is not one topic.
  private func places(
    _ topics: [String: KafkaAdmin.Topic], _ notes: inout [String]
  ) throws(KafkaError) -> [Place] {
    var routes: [String: Int] = [:]
    var patterns: [(TopicPattern, Int)] = []
    for (index, route) in configuration.routes.enumerated() {
      for name in route.topics {
        if name.hasPrefix("^") {
          if let pattern = try? TopicPattern(name) { patterns.append((pattern, index)) }
        } else if topics[name] == nil {
          notes.append("topic '\(name)' does not exist, or this user may not see it")
        } else {
          routes[name] = index
        }
      }
    }
    for name in topics.keys where routes[name] == nil {
      if let (_, index) = patterns.first(where: { $0.0.matches(name) }) { routes[name] = index }
    }
    var places: [Place] = []
    for (name, route) in routes.sorted(by: { $0.key < $1.key }) {
      guard let topic = topics[name] else { continue }
      if let error = topic.error { notes.append(error.message) }
      places += topic.partitions.map { Place(partition: TopicPartition(name, $0.partition), route: route) }
    }
    guard !places.isEmpty else {
      throw KafkaError(
        code: .unknownTopicOrPartition,
        message: notes.isEmpty ? "no topic matches the routes" : notes.joined(separator: "; "))
    }
    return places.sorted { $0.partition < $1.partition }
  }
}
