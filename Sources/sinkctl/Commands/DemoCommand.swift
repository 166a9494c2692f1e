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
  /// The mock cluster keeps 5 MB a partition and drops older records silently, so the producer never runs further ahead of
  /// the tables than this.
  private static let leadRecords = 20_000
  private static let writer = LogWriter(format: .text, time: .system)

  static let command = Command(
    name: "demo", summary: "Moves real data from a broker inside this process into your ClickHouse.",
    discussion: """
      What 'scripts/demo' calls after it has made the data and the tables: sends DIR/flights.jsonl, weather.jsonl and
      planes.jsonl to topics of those names and keeps them flowing into tables of those names, until all has landed. The
      broker is librdkafka's mock cluster inside this process, unless --brokers names a real one.
      """,
    options: [
      .init("data", "DIR", "Where the three files are.", isRequired: true),
      .init("clickhouse", "URL", "A ClickHouse over HTTP, with the three tables.", isRequired: true),
      .init("brokers", "HOST:PORT,…", "A real Kafka; its topics flights, weather and planes are made if missing."),
    ],
    examples: ["scripts/demo", "sinkctl demo --data DIR --clickhouse http://127.0.0.1:8123"]
  ) { arguments in
    let logger = writer.logger("demo", level: .notice)
    do throws(KafkaError) {
      let brokers: [String]
      var mock: MockCluster?
      if let named = arguments.value("brokers") {
        brokers = named.split(separator: ",").map(String.init)
        try await makeTopics(brokers)
      } else {
        let cluster = try MockCluster()
        for name in names { try cluster.createTopic(name, partitions: 4) }
        brokers = cluster.bootstrap
        mock = cluster
      }
      let code = await move(
        arguments.value("data") ?? "", brokers, arguments.value("clickhouse") ?? "", logger)
      // Kept until here: the brokers end with it.
      extendLifetime(mock)
      return code
    } catch {
      Terminal.error("sinkctl: \(error.message)")
      return ExitCode(PipelineError(PipelineError.code(of: error), error.message))
    }
  }

  private static func makeTopics(_ brokers: [String]) async throws(KafkaError) {
    let admin = try KafkaAdmin(brokers: brokers)
    let known = try await admin.metadata(within: .seconds(10)).topics.map(\.name)
    for name in names where !known.contains(name) {
      try await admin.createTopic(name, partitions: 4, within: .seconds(10))
    }
  }

  private static func move(
    _ directory: String, _ brokers: [String], _ clickhouse: String, _ logger: Logger
  ) async -> ExitCode {
    var kafka = KafkaConsumerConfiguration(brokers: brokers, group: "sinkctl-demo-\(UInt32.random(in: 0 ... .max))")
    kafka.logger = logger
    let routes = names.map { RouteConfiguration(topics: [$0], table: $0) }
    let pipeline: Pipeline
    do throws(PipelineError) {
      pipeline = try Pipeline(
        PipelineConfiguration(
          kafka: kafka, clickhouse: ClickHouseConfiguration(url: clickhouse), routes: routes, logger: logger))
    } catch {
      Terminal.error("sinkctl: \(error)")
      return ExitCode(error)
    }
    let feed = DemoFeed()
    let producing = Task { await feed.send(directory, brokers, pipeline) }
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
    let status = pipeline.status
    Terminal.out(
      "\(ProgressLine.grouped(status.rowsInserted)) rows of \(ProgressLine.grouped(feed.total ?? 0)) records are in ClickHouse, "
        + "\(status.deadLetters) dead letters")
    return code
  }

  /// Sends the files, never too far ahead of the tables.
  final class DemoFeed: Sendable {
    private let state = Mutex<(total: Int?, problem: String?)>((nil, nil))

    /// All records that were sent, once all are.
    var total: Int? { state.withLock { $0.total } }
    var problem: String? { state.withLock { $0.problem } }

    func send(_ directory: String, _ brokers: [String], _ pipeline: Pipeline) async {
      let tally = DeliveryTally()
      var sent = 0
      do throws(KafkaError) {
        let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: brokers))
        for name in DemoCommand.names {
          guard let reader = LineReader(path: "\(directory)/\(name).jsonl") else {
            return state.withLock { $0.problem = "\(directory)/\(name).jsonl cannot be read; scripts/demo makes it" }
          }
          while let line = reader.next(), !Task.isCancelled {
            // In turn: librdkafka's own choice fills one partition at a time, and the mock keeps 5 MB of each.
            try await ProduceCommand.send(producer, name, partition: Int32(sent % 4), nil, line, [], tally)
            sent += 1
            while sent % 1000 == 0, sent - pipeline.status.rowsInserted > DemoCommand.leadRecords, !Task.isCancelled {
              try? await Task.sleep(for: .milliseconds(10))
            }
          }
        }
        try await producer.flush(within: .seconds(60))
        await producer.close(within: .seconds(10))
      } catch {
        return state.withLock { $0.problem = error.message }
      }
      let all = sent
      state.withLock { state in
        state.total = all
        state.problem = tally.failure?.message
      }
    }
  }
}
