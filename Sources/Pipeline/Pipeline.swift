internal import ClickHouseClient
internal import KafkaClient
public import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Keeps records flowing from Kafka topics into ClickHouse tables, at least once, in bounded memory.
///
/// ```swift
/// let pipeline = try Pipeline(configuration, transforms: ["mask_email": MaskEmail()])
/// try await pipeline.run()          // until cancelled: drains, commits, returns
/// ```
public final class Pipeline: Sendable {
  public let configuration: PipelineConfiguration
  let transforms: [String: any Transform]
  private let shared = PipelineShared()
  private let registry = MetricsRegistry()
  let time: TimeSource
  private let hasRun = Atomic<Bool>(false)

  /// - Parameter transforms: by the names that the routes use.
  /// - Throws: `PipelineError` of code `configuration`, with every problem that needs no server to be seen.
  public convenience init(
    _ configuration: PipelineConfiguration, transforms: [String: any Transform] = [:]
  ) throws(PipelineError) {
    try self.init(configuration, transforms: transforms, time: .system)
  }

  init(
    _ configuration: PipelineConfiguration, transforms: [String: any Transform], time: TimeSource
  ) throws(PipelineError) {
    var problems = configuration.validate()
    for route in configuration.routes {
      for name in route.transforms where transforms[name] == nil {
        let known = transforms.keys.sorted().joined(separator: ", ")
        problems.append(
          "the route to table \(route.table) names the transform '\(name)', which is not known"
            + (known.isEmpty ? ": the pipeline was made without transforms" : "; known are: \(known)"))
      }
    }
    guard problems.isEmpty else {
      throw PipelineError(.configuration, "the configuration cannot work", details: problems)
    }
    self.configuration = configuration
    self.transforms = transforms
    self.time = time
  }

  /// What it is doing, as of at most half a second ago.
  public var status: PipelineStatus {
    var status = shared.status
    let samples = registry.snapshot
    func total(_ metric: MetricDescription) -> Int {
      samples.reduce(0) { sum, sample in
        guard sample.metric == metric, case .number(let value) = sample.value else { return sum }
        return sum + Int(value)
      }
    }
    status.recordsReceived = total(PipelineMetric.recordsReceived)
    status.bytesReceived = total(PipelineMetric.bytesReceived)
    status.rowsInserted = samples.reduce(0) { sum, sample in
      guard sample.metric == PipelineMetric.rowsInserted, case .number(let value) = sample.value,
        !deadLetterTables.contains(sample.labelValues[0])
      else { return sum }
      return sum + Int(value)
    }
    for sample in samples where sample.metric == PipelineMetric.deduplicationHorizon {
      guard case .number(let seconds) = sample.value else { continue }
      status.deduplicationHorizons[sample.labelValues[0]] = .seconds(Int(seconds))
    }
    status.tombstones = total(PipelineMetric.tombstones)
    status.recordsFiltered = total(PipelineMetric.recordsFiltered)
    status.deadLetters = total(PipelineMetric.deadLetters)
    status.insertsInFlight = total(PipelineMetric.insertsInFlight)
    status.blocksWaiting = total(PipelineMetric.blocksWaiting)
    return status
  }

  /// Their rows are counted as dead letters.
  private var deadLetterTables: Set<String> {
    func name(_ text: String) -> String? { (try? TableName(text))?.description }
    let names = configuration.routes.compactMap { route in
      if case .table(let text) = route.deadLetters { name(text) } else { nil }
    }
    return Set(names).subtracting(configuration.routes.compactMap { name($0.table) })
  }

  /// Every value of every metric now; `PipelineMetric` says what they are.
  public var metrics: [MetricSample] { registry.snapshot }

  /// Reads the schemas, joins the group and moves records until the task is cancelled; then it drains, commits and
  /// returns. Cancellation is the normal way to end it. A server that cannot be reached is waited for.
  /// - Throws: `PipelineError` when it cannot start, ends before it was asked to, or could not drain in time
  ///   (`notDrained`). One run in a pipeline's life.
  public func run() async throws(PipelineError) {
    guard hasRun.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else {
      throw PipelineError(.alreadyRunning, "a pipeline runs once: make another for another run")
    }
    defer { shared.enter(.stopped) }
    let client = try ClickHouseClient.open(clickhouseConfiguration)
    let outcome: Result<Void, PipelineError>
    do throws(PipelineError) {
      if let survey = try await resolveRoutes(client) {
        tell(survey.delivery)
        try await move(survey.routes, client)
      }
      outcome = .success(())
    } catch {
      outcome = .failure(error)
    }
    client.close()
    try outcome.get()
    if let error = shared.error { throw error }
  }

  /// Reads the tables; while ClickHouse cannot be reached, again and again.
  /// - Returns: nil where the run was cancelled meanwhile.
  private func resolveRoutes(_ client: ClickHouseClient) async throws(PipelineError) -> SchemaSurvey? {
    var attempt = 0
    while !Task.isCancelled {
      do throws(PipelineError) {
        return try await SchemaReader(configuration, client, transforms).resolve(configuration.routes)
      } catch {
        guard error.code == .unreachable else { throw error }
        guard !Task.isCancelled else { return nil }
        attempt += 1
        let wait = configuration.retry.delay(afterAttempt: attempt, random: .random(in: 0..<1))
        configuration.logger.warning(
          "waiting for ClickHouse",
          [
            "attempt": "\(attempt)", "again_in_seconds": "\((wait.seconds * 10).rounded() / 10)",
            "error": error.message,
          ])
        try? await Task.sleep(for: wait)
      }
    }
    return nil
  }

  private func tell(_ delivery: DeliveryDecision) {
    shared.decide(delivery)
    registry.gauge(PipelineMetric.exactlyOnce).set(delivery.guarantee == .exactlyOnce ? 1 : 0)
    let words = delivery.guarantee == .exactlyOnce ? "delivery is exactly once" : "delivery is at least once"
    if delivery.reasons.isEmpty {
      configuration.logger.info(words)
    } else {
      configuration.logger.notice(words, ["exactly_once_needs": delivery.reasons.joined(separator: "; ")])
    }
  }

  private var clickhouseConfiguration: ClickHouseConfiguration {
    var clickhouse = configuration.clickhouse
    clickhouse.requestsInFlight = configuration.limits.insertsInFlight
    return clickhouse
  }

  private func move(_ resolved: [ResolvedRoute], _ client: ClickHouseClient) async throws(PipelineError) {
    var kafka = configuration.kafka
    kafka.shutdownDeadline = configuration.limits.drain
    let consumer: KafkaConsumer
    let producer: KafkaProducer?
    do throws(KafkaError) {
      consumer = try KafkaConsumer(kafka)
      producer = try makeProducer()
    } catch {
      throw PipelineError(.configuration, error.message, cause: error)
    }
    let parts = PipelineParts(
      configuration: configuration, transforms: transforms, client: client, consumer: consumer, producer: producer,
      metrics: registry, shared: shared, time: time)
    let handler = try parts.makeHandler(resolved)
    parts.inserter.start()
    let windows = WindowWatch(
      resolved, client: client, events: parts.events, metrics: registry, logger: configuration.logger, time: time)
    windows.start()
    let topics = configuration.routes.flatMap(\.topics)
    let watch = GroupWatch(
      configuration: kafka, topics: topics, interval: configuration.groupCheckInterval, logger: configuration.logger)
    let watching = Task { await watch.run() }
    defer { watching.cancel() }
    let result: Result<Void, PipelineError>
    do {
      try await consumer.run(.topics(topics), handler)
      result = .success(())
    } catch let error as KafkaError {
      result = .failure(PipelineError(PipelineError.code(of: error), error.message, cause: error))
    } catch {
      result = .failure(PipelineError(.kafka, "\(error)", cause: error))
    }
    await parts.reader.close()
    parts.counter.close()
    parts.inserter.stop()
    await parts.inquiry.close()
    await windows.close()
    // What it has not delivered by now is not accounted for: it comes again with the next start.
    await producer?.close(within: .seconds(1))
    try result.get()
    if !shared.isDrained, shared.error == nil { throw undrained(parts.alarms) }
  }

  /// The drain's deadline has come first.
  private func undrained(_ alarms: AlarmBoard) -> PipelineError {
    let status = self.status
    let left = status.partitions.reduce(0) { $0 + ($1.position - $1.frontier) }
    let reasons = alarms.lastFailures.sorted { $0.key < $1.key }.map { "table \($0.key): \($0.value)" }
    return PipelineError(
      .notDrained,
      "the drain ended after \(configuration.limits.drain) with \(left) records that have not landed, or whose commit "
        + "is not known. Nothing is lost: the next start reads them again. If that happens often, see why ClickHouse is "
        + "slow, or raise limits.drain", details: reasons)
  }

  private func makeProducer() throws(KafkaError) -> KafkaProducer? {
    let wanted = configuration.routes.contains { route in
      if case .topic = route.deadLetters { true } else { false }
    }
    guard wanted else { return nil }
    var producer = KafkaProducerConfiguration(
      brokers: configuration.kafka.brokers, security: configuration.kafka.security)
    producer.properties = configuration.kafka.connectionProperties
    // A record that the topic took once is taken here; the dead letter topic has its own limit.
    producer.recordMaxBytes = 1_000_000_000
    producer.logger = configuration.kafka.logger
    return try KafkaProducer(producer)
  }
}
