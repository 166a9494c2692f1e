internal import ClickHouseClient
internal import Glibc
internal import KafkaClient
internal import Pipeline
internal import SinkTelemetry
internal import SinkThreads

enum RunCommand {
  static let command = Command(
    name: "run", summary: "Moves records from Kafka into ClickHouse until it is told to stop.",
    discussion: """
      Reads the configuration, checks it against the tables, joins the consumer group and keeps records flowing.
      SIGTERM and SIGINT drain: what has been read lands, offsets are committed, and it exits with 0. A second signal ends
      it at once; nothing is lost by that, some rows may be inserted again.

      On a terminal a progress line shows rows and bytes a second, the lag, inserts in flight and dead letters; elsewhere
      the same goes to the log every 30 seconds.
      """,
    options: [Command.config], examples: ["sinkctl run --config /etc/sinkctl/sinkctl.yaml"]
  ) { arguments in
    guard let configuration = load(arguments) else { return .configuration }
    return await run(configuration)
  }

  /// Prints what is wrong with the file and returns nil where it cannot be used.
  static func load(_ arguments: Arguments) -> SinkctlConfiguration? {
    let path = arguments.value("config") ?? ""
    switch ConfigurationReader(environment: .system).read(path: path) {
    case .failure(let found):
      for problem in found.problems { Terminal.error(problem.description) }
      return nil
    case .success(var configuration):
      let writer = configuration.logWriter
      Terminal.describeDropped(writer.describeDropped)
      configuration.pipeline.logger = writer.logger("pipeline", level: configuration.logLevel)
      configuration.pipeline.kafka.logger = writer.logger("kafka", level: configuration.logLevel)
      configuration.pipeline.clickhouse.logger = writer.logger("clickhouse", level: configuration.logLevel)
      return configuration
    }
  }

  private static func run(_ configuration: SinkctlConfiguration) async -> ExitCode {
    let writer = configuration.logWriter
    let pipeline: Pipeline
    do throws(PipelineError) {
      pipeline = try Pipeline(configuration.pipeline)
    } catch {
      return end(error, writer)
    }
    var admin: AdminServer?
    if configuration.admin.port > 0 {
      do throws(AdminProblem) {
        admin = try AdminServer(configuration.admin, pipeline: pipeline)
      } catch {
        writer.fail("configuration", error.message)
        return .configuration
      }
    }
    summarize(configuration)
    warnOfCertificates(configuration)
    let code = await supervise(pipeline, writer, configuration.pipeline.logger)
    admin?.stop()
    return code
  }

  private static func end(_ error: PipelineError, _ writer: LogWriter) -> ExitCode {
    writer.fail(error.code.rawValue, error.message, details: error.details)
    return ExitCode(error)
  }

  /// Runs a pipeline under the process's signals, and shows how it goes.
  static func supervise(
    _ pipeline: Pipeline, _ writer: LogWriter, _ logger: Logger,
    until isDone: @escaping @Sendable (PipelineStatus) -> Bool = { _ in false }
  ) async -> ExitCode {
    let work = Task { () async -> PipelineError? in
      do throws(PipelineError) {
        try await pipeline.run()
        return nil
      } catch {
        return error
      }
    }
    SignalWatcher.onStop {
      logger.notice("stopping: draining what has been read; a second signal ends it at once")
      work.cancel()
    }
    let progress = Task {
      var line = ProgressLine(isInteractive: Terminal.isInteractive, logger: logger)
      while !Task.isCancelled {
        let status = pipeline.status
        line.show(status, at: TimeSource.system.monotonic())
        if isDone(status) { work.cancel() }
        try? await Task.sleep(for: .milliseconds(500))
      }
    }
    let error = await work.value
    progress.cancel()
    await progress.value
    Terminal.endProgress()
    if let error { return end(error, writer) }
    let status = pipeline.status
    logger.info(
      "drained",
      [
        "rows": "\(status.rowsInserted)", "records": "\(status.recordsReceived)",
        "dead_letters": "\(status.deadLetters)",
      ])
    return .done
  }

  private static func summarize(_ configuration: SinkctlConfiguration) {
    let pipeline = configuration.pipeline
    pipeline.logger.info(
      "sinkctl \(VersionCommand.version)",
      [
        "librdkafka": KafkaLibrary.version, "brokers": pipeline.kafka.brokers.joined(separator: ","),
        "group": pipeline.kafka.group, "clickhouse": pipeline.clickhouse.url,
        "memory": "\(pipeline.limits.memoryBytes >> 20)MiB",
        "admin": configuration.admin.port > 0 ? "\(configuration.admin.address):\(configuration.admin.port)" : "off",
      ])
    for route in pipeline.routes {
      pipeline.logger.info(
        "route",
        [
          "topics": route.topics.joined(separator: ","), "table": route.table,
          "delivery": route.delivery?.rawValue ?? "as the table allows",
        ])
    }
  }

  /// A server may still take what is wrong with them, so the run goes on.
  private static func warnOfCertificates(_ configuration: SinkctlConfiguration) {
    let now = TimeSource.system.wallNanoseconds() / 1_000_000_000
    for note in CertificateCheck(now: now).notes(configuration) {
      configuration.pipeline.logger.warning(
        note.isWarning ? "a certificate must be renewed" : "a TLS file cannot be used as it is",
        ["setting": note.setting, "reason": note.message])
    }
  }
}

extension ExitCode {
  init(_ error: PipelineError) {
    switch error.code {
    case .configuration: self = .configuration
    case .unreachable, .notDrained: self = .unreachable
    case .refused: self = .refused
    case .deadLetter: self = .findings
    case .fenced, .alreadyRunning, .cancelled, .kafka: self = .software
    case .groupInUse: self = .busy
    }
  }
}
