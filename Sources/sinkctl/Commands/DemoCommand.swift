internal import ClickHouseClient
internal import KafkaClient
internal import KafkaTestKit
internal import Pipeline
internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

enum DemoCommand {
  /// The topics, files and tables of the demo have one name each.
  static let names = ["planes", "weather", "flights"]
  fileprivate static let partitions = 8
  /// The mock cluster keeps 5 MB or 100,000 records a partition and drops older ones silently, read or not. So the producer
  /// never runs further ahead of the reader than this: with the demo's 300 bytes a record, 2 MB a partition.
  private static let leadRecords = 50_000
  private static let writer = LogWriter(format: .text, time: .system)

  static let command = Command(
    name: "demo", summary: "Moves real data from a broker inside this process into your ClickHouse.",
    discussion: """
      What 'scripts/demo' calls after it has made the data and the tables: sends DIR/flights.jsonl, weather.jsonl and
      planes.jsonl to topics of those names and keeps them flowing into tables of those names in the database
      sinkctl_demo, until all has landed. The broker is librdkafka's mock cluster inside this process, unless --brokers
      names a real one. A password is taken from the environment's SINK_CLICKHOUSE_PASSWORD.
      """,
    options: [
      .init("data", "DIR", "Where the three files are.", isRequired: true),
      .init("clickhouse", "URL", "A ClickHouse over HTTP, with the three tables.", isRequired: true),
      .init("user", "NAME", "ClickHouse's user, where that is not 'default'."),
      .init("brokers", "HOST:PORT,…", "A real Kafka; its topics flights, weather and planes are made if missing."),
    ],
    examples: ["scripts/demo", "sinkctl demo --data DIR --clickhouse http://127.0.0.1:8123"]
  ) { arguments in
    let logger = writer.logger("demo", level: .notice)
    do throws(KafkaError) {
      let brokers: [String]
      var mock: MockCluster?
      var lead = Int.max
      if let named = arguments.value("brokers") {
        brokers = named.split(separator: ",").map(String.init)
        try await makeTopics(brokers)
      } else {
        let cluster = try MockCluster()
        for name in names { try cluster.createTopic(name, partitions: partitions) }
        brokers = cluster.bootstrap
        mock = cluster
        lead = leadRecords
      }
      let code = await move(
        DemoFeed(directory: arguments.value("data") ?? "", brokers: brokers, leadRecords: lead),
        to: clickhouse(arguments), logger)
      // Kept until here: the brokers end with it.
      extendLifetime(mock)
      return code
    } catch {
      Terminal.error("sinkctl: \(error.message)")
      return ExitCode(PipelineError(PipelineError.code(of: error), error.message))
    }
  }

  private static func clickhouse(_ arguments: Arguments) -> ClickHouseConfiguration {
    var clickhouse = ClickHouseConfiguration(url: arguments.value("clickhouse") ?? "")
    if let user = arguments.value("user") { clickhouse.user = user }
    if let password = Environment.system.variable("SINK_CLICKHOUSE_PASSWORD") { clickhouse.password = Secret(password) }
    return clickhouse
  }

  private static func makeTopics(_ brokers: [String]) async throws(KafkaError) {
    let admin = try KafkaAdmin(brokers: brokers)
    let known = try await admin.metadata(within: .seconds(10)).topics.map(\.name)
    for name in names where !known.contains(name) {
      try await admin.createTopic(name, partitions: partitions, within: .seconds(10))
    }
  }

  private static func move(
    _ feed: DemoFeed, to clickhouse: ClickHouseConfiguration, _ logger: Logger
  ) async -> ExitCode {
    var kafka = KafkaConsumerConfiguration(
      brokers: feed.brokers, group: "sinkctl-demo-\(UInt32.random(in: 0 ... .max))")
    kafka.logger = logger
    let routes = names.map { RouteConfiguration(topics: [$0], table: "sinkctl_demo.\($0)") }
    let pipeline: Pipeline
    do throws(PipelineError) {
      pipeline = try Pipeline(
        PipelineConfiguration(
          kafka: kafka, clickhouse: clickhouse, routes: routes, logger: logger))
    } catch {
      Terminal.error("sinkctl: \(error)")
      return ExitCode(error)
    }
    let start = TimeSource.system.monotonic()
    let producing = Task { await feed.send(pipeline) }
    let code = await RunCommand.supervise(pipeline, writer, logger) { status in
      guard let total = feed.total else { return feed.problem != nil }
      return status.rowsInserted + status.deadLetters >= total
    }
    producing.cancel()
    await producing.value
    if let problem = feed.problem {
      Terminal.error("sinkctl: \(problem)")
      return .findings
    }
    let rows = pipeline.status.rowsInserted
    let deadLetters = pipeline.status.deadLetters
    guard code == .done, let total = feed.total, rows + deadLetters >= total else {
      Terminal.error("sinkctl: stopped with \(ProgressLine.grouped(rows)) rows in ClickHouse")
      return code
    }
    let seconds = ((TimeSource.system.monotonic() - start).seconds * 10).rounded() / 10
    Terminal.out(
      "\(ProgressLine.grouped(rows)) rows of \(ProgressLine.grouped(total)) records are in ClickHouse after \(seconds) s, "
        + "\(deadLetters) dead letters")
    return code
  }

  /// Sends the files, never too far ahead of the reader.
  final class DemoFeed: Sendable {
    let directory: String
    let brokers: [String]
    let leadRecords: Int
    private let state = Mutex<(total: Int?, problem: String?)>((nil, nil))

    init(directory: String, brokers: [String], leadRecords: Int) {
      self.directory = directory
      self.brokers = brokers
      self.leadRecords = leadRecords
    }

    /// All records that were sent, once all are.
    var total: Int? { state.withLock { $0.total } }
    var problem: String? { state.withLock { $0.problem } }

    func send(_ pipeline: Pipeline) async {
      do {
        let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: brokers))
        let tally = DeliveryTally()
        var sent = 0
        for name in DemoCommand.names { sent += try await send(name, sent, producer, tally, pipeline) }
        try await producer.flush(within: .seconds(60))
        await producer.close(within: .seconds(10))
        let all = sent
        state.withLock { state in
          state.total = all
          state.problem = tally.failure?.error.message
        }
      } catch let error as LineReader.Problem {
        state.withLock { $0.problem = "\(error.message); scripts/demo makes the data" }
      } catch {
        state.withLock { $0.problem = "\(error)" }
      }
    }

    private func send(
      _ name: String, _ before: Int, _ producer: KafkaProducer, _ tally: DeliveryTally, _ pipeline: Pipeline
    ) async throws -> Int {
      let reader = try LineReader(path: "\(directory)/\(name).jsonl")
      while let line = try reader.next(), !Task.isCancelled {
        let count = before + reader.lineNumber
        // In turn: librdkafka's own choice fills one partition at a time.
        try await producer.sendWhenThereIsRoom(
          topic: name, partition: Int32(count % DemoCommand.partitions), value: line, line: reader.lineNumber,
          tally: tally)
        while count % 1000 == 0, count - pipeline.status.recordsReceived > leadRecords, !Task.isCancelled {
          try? await Task.sleep(for: .milliseconds(5))
        }
      }
      return reader.lineNumber
    }
  }
}
