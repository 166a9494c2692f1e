internal import KafkaClient
internal import Synchronization

/// Sends the demo's files to their topics.
final class DemoFeed: Sendable {
  let directory: String
  let brokers: [String]
  /// Records in all three files.
  let total: Int
  private let state = Mutex<(isDone: Bool, problem: String?)>((false, nil))
  private let allowed = Atomic<Int>(0)

  init(directory: String, brokers: [String]) throws(LineReader.Problem) {
    self.directory = directory
    self.brokers = brokers
    var total = 0
    for name in DemoSite.names {
      let reader = try LineReader(path: "\(directory)/\(name).jsonl")
      while try reader.next() != nil { total += 1 }
    }
    self.total = total
  }

  /// Whether all of them are known to be in their topics.
  var isDone: Bool { state.withLock { $0.isDone } }
  var problem: String? { state.withLock { $0.problem } }

  /// No more than so many records are sent until more are allowed.
  func allow(_ records: Int) { allowed.store(records, ordering: .relaxed) }

  func send() async {
    do {
      var configuration = KafkaProducerConfiguration(brokers: brokers)
      // The mock cluster counts what it keeps as it came: compressed, all of it fits, and the audit can read it again.
      configuration.properties = ["compression.type": "lz4"]
      configuration.linger = .milliseconds(50)
      let producer = try KafkaProducer(configuration)
      let tally = DeliveryTally()
      var sent = 0
      for name in DemoSite.names { sent += try await send(name, sent, producer, tally) }
      try await producer.flush(within: .seconds(60))
      await producer.close(within: .seconds(10))
      state.withLock { state in
        state.isDone = tally.failure == nil
        state.problem = tally.failure?.error.message
      }
    } catch let error as LineReader.Problem {
      state.withLock { $0.problem = error.message }
    } catch {
      state.withLock { $0.problem = "\(error)" }
    }
  }

  private func send(
    _ name: String, _ before: Int, _ producer: KafkaProducer, _ tally: DeliveryTally
  ) async throws -> Int {
    let reader = try LineReader(path: "\(directory)/\(name).jsonl")
    while let line = try reader.next(), !Task.isCancelled, tally.failure == nil {
      while before + reader.lineNumber > allowed.load(ordering: .relaxed), !Task.isCancelled {
        try? await Task.sleep(for: .milliseconds(5))
      }
      // In turn: librdkafka's own choice fills one partition at a time.
      try await producer.sendWhenThereIsRoom(
        topic: name, partition: Int32(reader.lineNumber % DemoSite.partitions), value: line, line: reader.lineNumber,
        tally: tally)
    }
    return reader.lineNumber
  }
}
