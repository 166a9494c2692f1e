internal import Glibc
internal import KafkaClient
internal import Pipeline
internal import SinkTelemetry
internal import Synchronization

enum ProduceCommand {
  static let command = Command(
    name: "produce", summary: "Sends the lines of a file, or of standard input, to a topic.",
    discussion: """
      Each line becomes the value of one record; empty lines are left out. The producer is idempotent and waits for all
      in-sync replicas: it exits with 0 only where every record is known to be there.
      """,
    options: [
      .init("topic", "TOPIC", "Where to.", isRequired: true),
      .init("brokers", "HOST:PORT,…", "Brokers without TLS; or give --config for its kafka section."),
      .init("config", "FILE", "Takes brokers and security from a configuration file."),
      .init("key-separator", "TEXT", "What stands before the first TEXT in a line is the record's key."),
      .init("header", "NAME=VALUE", "A header for every record; may be repeated.", isRepeatable: true),
    ],
    operands: "[FILE]",
    examples: [
      "sinkctl produce --brokers localhost:9092 --topic events events.jsonl",
      "tail -f app.log | sinkctl produce --config sinkctl.yaml --topic logs",
    ]
  ) { arguments in
    guard arguments.operands.count <= 1, !(arguments.has("brokers") && arguments.has("config")) else {
      Terminal.error("sinkctl: produce takes one file, and either --brokers or --config.")
      return .usage
    }
    guard let target = target(arguments) else { return .usage }
    guard let reader = LineReader(path: arguments.operands.first ?? "-") else {
      Terminal.error(unsafe "sinkctl: \(arguments.operands.first ?? "-"): \(String(cString: strerror(errno)))")
      return .usage
    }
    var headers: [Record.Header] = []
    for text in arguments.values("header") {
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        Terminal.error("sinkctl: --header '\(text)' must be NAME=VALUE.")
        return .usage
      }
      headers.append(Record.Header(String(parts[0]), String(parts[1])))
    }
    let separator = arguments.value("key-separator").map { Array($0.utf8) }
    return await produce(
      reader, to: arguments.value("topic") ?? "", target, headers: headers, keySeparator: separator)
  }

  private static func target(_ arguments: Arguments) -> KafkaProducerConfiguration? {
    if let brokers = arguments.value("brokers") {
      return KafkaProducerConfiguration(brokers: brokers.split(separator: ",").map(String.init))
    }
    guard arguments.has("config") else {
      Terminal.error("sinkctl: produce needs --brokers or --config.")
      return nil
    }
    guard let kafka = RunCommand.load(arguments)?.pipeline.kafka else { return nil }
    return KafkaProducerConfiguration(brokers: kafka.brokers, security: kafka.security)
  }

  private static func produce(
    _ reader: LineReader, to topic: String, _ target: KafkaProducerConfiguration, headers: [Record.Header],
    keySeparator: [UInt8]?
  ) async -> ExitCode {
    let tally = DeliveryTally()
    var sent = 0
    do throws(KafkaError) {
      let producer = try KafkaProducer(target)
      while let line = reader.next(), tally.failure == nil {
        guard !line.isEmpty else { continue }
        let (key, value) = split(line, keySeparator)
        try await send(producer, topic, key, value, headers, tally)
        sent += 1
        if sent % 10_000 == 0, Terminal.isInteractive {
          Terminal.showProgress(
            "\(ProgressLine.grouped(sent)) records sent, \(ProgressLine.grouped(tally.delivered)) known to be there")
        }
      }
      try await producer.flush(within: .seconds(60))
      await producer.close(within: .seconds(10))
    } catch {
      Terminal.endProgress()
      Terminal.error("sinkctl: \(error.message); \(tally.delivered) of \(sent) records are known to be there")
      return ExitCode(PipelineError(PipelineError.code(of: error), error.message))
    }
    Terminal.showProgress("")
    if let failure = tally.failure {
      Terminal.error("sinkctl: \(failure.message); \(tally.delivered) of \(sent) records are known to be there")
      return ExitCode(PipelineError(PipelineError.code(of: failure), failure.message))
    }
    Terminal.out("\(sent) records in \(topic)")
    return .done
  }

  /// A full queue is waited for: the broker is slower than the file.
  static func send(
    _ producer: KafkaProducer, _ topic: String, partition: Int32? = nil, _ key: [UInt8]?, _ value: [UInt8],
    _ headers: [Record.Header], _ tally: DeliveryTally
  ) async throws(KafkaError) {
    while true {
      do throws(KafkaError) {
        return try producer.send(topic: topic, partition: partition, key: key, value: value, headers: headers) {
          tally.take($0)
        }
      } catch {
        guard error.code == .queueFull, tally.failure == nil else { throw error }
        try? await Task.sleep(for: .milliseconds(5))
      }
    }
  }

  private static func split(_ line: [UInt8], _ separator: [UInt8]?) -> (key: [UInt8]?, value: [UInt8]) {
    guard let separator, let found = line.firstRange(of: separator) else { return (nil, line) }
    return (Array(line[..<found.lowerBound]), Array(line[found.upperBound...]))
  }
}

/// What has become of records that were sent, counted from the producer's thread.
final class DeliveryTally: Sendable {
  private let state = Mutex<(delivered: Int, failure: KafkaError?)>((0, nil))

  var delivered: Int { state.withLock { $0.delivered } }
  var failure: KafkaError? { state.withLock { $0.failure } }

  func take(_ result: Result<KafkaProducer.Delivery, KafkaError>) {
    state.withLock { state in
      switch result {
      case .success: state.delivered += 1
      case .failure(let error): if state.failure == nil { state.failure = error }
      }
    }
  }
}
