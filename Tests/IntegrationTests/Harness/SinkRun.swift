import Foundation
import KafkaClient
import Pipeline
import SinkTelemetry
import Synchronization
import TestServers
import Testing

/// A pipeline at work inside a test.
final class SinkRun: Sendable {
  let pipeline: Pipeline
  private let log: EventLog
  private let work: Task<PipelineError?, Never>

  init(_ configuration: PipelineConfiguration, transforms: [String: any Transform] = [:]) throws {
    let log = EventLog()
    self.log = log
    var configuration = configuration
    configuration.logger = Logger(source: "pipeline", level: .debug, handler: log.add)
    configuration.kafka.logger = Logger(source: "kafka", level: .info, handler: log.add)
    let pipeline = try Pipeline(configuration, transforms: transforms)
    self.pipeline = pipeline
    work = Task {
      do throws(PipelineError) {
        try await pipeline.run()
        return nil
      } catch {
        return error
      }
    }
  }

  var status: PipelineStatus { pipeline.status }

  var lines: [String] { log.lines }

  func value(_ metric: MetricDescription) -> Double {
    pipeline.metrics.reduce(0) { sum, sample in
      guard sample.metric == metric, case .number(let value) = sample.value else { return sum }
      return sum + value
    }
  }

  /// Waits until the status is as it should be.
  func wait(
    _ what: String, within timeout: Duration = .patience, until isDone: (PipelineStatus) throws -> Bool
  ) async throws {
    let deadline = ContinuousClock.now + timeout
    while true {
      let status = pipeline.status
      if try isDone(status) { return }
      guard ContinuousClock.now < deadline, status.phase != .stopped else {
        throw HarnessProblem("not seen: \(what). \(status)\n\(log.lines.suffix(40).joined(separator: "\n"))")
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  /// Waits until everything in the ledger is accounted for and committed.
  func waitForAll(of ledger: RecordLedger, within timeout: Duration = .patience) async throws {
    let ends = ledger.ends
    try await wait("all of \(ledger.count) records accounted for and committed", within: timeout) { status in
      let committed = Dictionary(
        status.partitions.map { (RecordLedger.End($0.topic, $0.partition), $0.committed ?? 0) }, uniquingKeysWith: max)
      return ends.allSatisfy { committed[$0.key, default: -1] >= $0.value }
    }
  }

  /// As SIGTERM does; returns why it ended, nil where it drained.
  @discardableResult
  func stop() async -> PipelineError? {
    work.cancel()
    return await work.value
  }

  /// Waits until it ends by itself.
  func end(within timeout: Duration = .patience) async throws -> PipelineError? {
    try await wait("the end of the run", within: timeout) { $0.phase == .stopped }
    return await work.value
  }
}

extension RecordLedger {
  struct End: Hashable, Sendable {
    let topic: String
    let partition: Int32

    init(_ topic: String, _ partition: Int32) {
      self.topic = topic
      self.partition = partition
    }
  }

  /// The offset after the last record of each partition.
  var ends: [End: Int64] {
    entries.keys.reduce(into: [:]) { ends, place in
      let end = End(place.topic, place.partition)
      ends[end] = max(ends[end] ?? 0, place.offset + 1)
    }
  }
}

/// Runs a pipeline around a test's body; it is gone afterwards, however that ends.
func withSink<Result: Sendable>(
  _ configuration: PipelineConfiguration, transforms: [String: any Transform] = [:],
  _ body: (SinkRun) async throws -> Result
) async throws -> Result {
  let sink = try SinkRun(configuration, transforms: transforms)
  do {
    let result = try await body(sink)
    await sink.stop()
    return result
  } catch {
    await sink.stop()
    throw error
  }
}

/// The last lines that a pipeline has logged, for the message of a failure.
final class EventLog: Sendable {
  private let state = Mutex<[String]>([])
  private let start = ContinuousClock.now

  var lines: [String] { state.withLock { $0 } }

  var add: LogHandler {
    { event in
      let time = (ContinuousClock.now - self.start) / .seconds(1)
      let details = event.metadata.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
      let line = String(format: "%7.3f ", time) + "\(event.level) \(event.source): \(event.message) \(details)"
      self.state.withLock { lines in
        lines.append(line)
        if lines.count > 2000 { lines.removeFirst(1000) }
      }
    }
  }
}
