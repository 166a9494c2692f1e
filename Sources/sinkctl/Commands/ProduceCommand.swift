internal import KafkaClient
internal import Pipeline
internal import Synchronization

enum ProduceCommand {
  static let command = Command(
    name: "produce", summary: "Sends the lines of a file, or of standard input, to a topic.",
    discussion: """
      Each line becomes the value of one record; empty lines are left out. The producer is idempotent and waits for all
      in-sync replicas: it exits with 0 only where every record is known to be there. It ends at the first line that
      cannot be sent, and says which one it is and how many records before it are there.
      """,
    options: [
      .init("topic", "TOPIC", "Where to.", isRequired: true),
      .init("brokers", "HOST:PORT,…", "Brokers without TLS; or give --config for its kafka section."),
      .init("config", "FILE", "Takes brokers and security from a configuration file."),
      .init("key-separator", "TEXT", "What stands before the first TEXT in a line is the record's key."),
      .init("header", "NAME=VALUE", "A header for every record; may be repeated.", isRepeatable: true),
      .init("property", "NAME=VALUE", "A property of librdkafka, such as compression.type=zstd.", isRepeatable: true),
    ],
    operands: "[FILE]",
    examples: [
      "sinkctl produce --brokers localhost:9092 --topic events events.jsonl",
      "sinkctl produce --brokers localhost:9092 --topic events --key-separator : --header source=import < keyed.txt",
      "tail -f app.log | sinkctl produce --config sinkctl.yaml --topic logs",
    ]
  ) { arguments in
    guard arguments.operands.count <= 1, arguments.has("brokers") != arguments.has("config") else {
      Terminal.error("sinkctl: produce takes one file, and either --brokers or --config.")
      return .usage
    }
    guard let headers = pairs("header", arguments), let properties = pairs("property", arguments) else { return .usage }
    guard arguments.value("key-separator") != "" else {
      Terminal.error("sinkctl: --key-separator is empty; give the text that ends a key, such as : or a tab.")
      return .usage
    }
    let reader: LineReader
    do throws(LineReader.Problem) {
      reader = try LineReader(path: arguments.operands.first ?? "-")
    } catch {
      Terminal.error("sinkctl: \(error.message)")
      return .usage
    }
    guard var target = target(arguments) else { return .configuration }
    for (name, value) in properties { target.properties[name] = value }
    let feed = LineFeed(
      topic: arguments.value("topic") ?? "", headers: headers.map { Record.Header($0.0, $0.1) },
      keySeparator: arguments.value("key-separator").map { Array($0.utf8) })
    return await feed.send(reader, target)
  }

  private static func pairs(_ name: String, _ arguments: Arguments) -> [(String, String)]? {
    var pairs: [(String, String)] = []
    for text in arguments.values(name) {
      guard let equals = text.firstIndex(of: "="), equals > text.startIndex else {
        Terminal.error("sinkctl: --\(name) '\(text)' must be NAME=VALUE.")
        return nil
      }
      pairs.append((String(text[..<equals]), String(text[text.index(after: equals)...])))
    }
    return pairs
  }

  private static func target(_ arguments: Arguments) -> KafkaProducerConfiguration? {
    if let brokers = arguments.value("brokers") {
      return KafkaProducerConfiguration(brokers: brokers.split(separator: ",").map(String.init))
    }
    guard let kafka = RunCommand.load(arguments)?.pipeline.kafka else { return nil }
    var target = KafkaProducerConfiguration(brokers: kafka.brokers, security: kafka.security)
    target.properties = kafka.connectionProperties
    target.logger = kafka.logger
    return target
  }
}

/// Sends lines as records, and counts what has become of them.
struct LineFeed {
  let topic: String
  let headers: [Record.Header]
  let keySeparator: [UInt8]?

  func send(_ reader: LineReader, _ target: KafkaProducerConfiguration) async -> ExitCode {
    let tally = DeliveryTally()
    var sent = 0
    var problem: (message: String, code: ExitCode)?
    do throws(KafkaError) {
      let producer = try KafkaProducer(target)
      while tally.failure == nil, problem == nil {
        do throws(LineReader.Problem) {
          guard let line = try reader.next() else { break }
          if line.isEmpty { continue }
          problem = await send(line, reader.lineNumber, producer, tally)
          sent += 1
        } catch {
          problem = (error.message, .usage)
        }
        if sent % 10_000 == 0, Terminal.isInteractive { show(sent, tally) }
      }
      try await producer.flush(within: .seconds(120))
      await producer.close(within: .seconds(10))
    } catch {
      problem = problem ?? (error.message, Self.code(of: error))
    }
    Terminal.showProgress("")
    if let failure = tally.failure {
      problem = ("line \(failure.line): \(failure.error.message)", Self.code(of: failure.error))
    }
    guard let problem else {
      Terminal.out("\(sent) records in \(topic)")
      return .done
    }
    Terminal.error("sinkctl: \(problem.message); \(tally.delivered) records are known to be in \(topic)")
    return problem.code
  }

  private func send(
    _ line: [UInt8], _ number: Int, _ producer: KafkaProducer, _ tally: DeliveryTally
  ) async -> (String, ExitCode)? {
    let (key, value) = split(line)
    do throws(KafkaError) {
      try await producer.sendWhenThereIsRoom(
        topic: topic, key: key, value: value, headers: headers, line: number, tally: tally)
      return nil
    } catch {
      return ("line \(number): \(error.message)", Self.code(of: error))
    }
  }

  private func show(_ sent: Int, _ tally: DeliveryTally) {
    Terminal.showProgress(
      "\(ProgressLine.grouped(sent)) records sent, \(ProgressLine.grouped(tally.delivered)) known to be there")
  }

  private func split(_ line: [UInt8]) -> (key: [UInt8]?, value: [UInt8]) {
    guard let keySeparator, let found = line.firstRange(of: keySeparator) else { return (nil, line) }
    return (Array(line[..<found.lowerBound]), Array(line[found.upperBound...]))
  }

  private static func code(of error: KafkaError) -> ExitCode {
    if error.code == .messageTooLarge { return .refused }
    return ExitCode(PipelineError(PipelineError.code(of: error), error.message))
  }
}

extension KafkaProducer {
  /// A full queue is waited for: the broker is slower than the file. What was queued has the delivery's deadline, so this
  /// ends.
  func sendWhenThereIsRoom(
    topic: String, partition: Int32? = nil, key: [UInt8]? = nil, value: [UInt8], headers: [Record.Header] = [],
    line: Int, tally: DeliveryTally
  ) async throws(KafkaError) {
    while true {
      do throws(KafkaError) {
        return try send(topic: topic, partition: partition, key: key, value: value, headers: headers) {
          tally.take($0, line: line)
        }
      } catch {
        guard error.code == .queueFull, tally.failure == nil else { throw error }
        try? await Task.sleep(for: .milliseconds(5))
      }
    }
  }
}

/// What has become of records that were sent, counted from the producer's thread.
final class DeliveryTally: Sendable {
  private let state = Mutex<(delivered: Int, failure: (line: Int, error: KafkaError)?)>((0, nil))

  var delivered: Int { state.withLock { $0.delivered } }
  /// The first line that could not be delivered.
  var failure: (line: Int, error: KafkaError)? { state.withLock { $0.failure } }

  func take(_ result: Result<KafkaProducer.Delivery, KafkaError>, line: Int) {
    state.withLock { state in
      switch result {
      case .success: state.delivered += 1
      case .failure(let error): if state.failure.map({ line < $0.line }) ?? true { state.failure = (line, error) }
      }
    }
  }
}
