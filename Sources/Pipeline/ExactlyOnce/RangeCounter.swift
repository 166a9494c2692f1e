internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Asks a table how many offsets of a range it has, until it answers.
final class RangeCounter: Sendable {
  private let client: ClickHouseClient
  private let events: Mailbox<PipelineEvent>
  private let retry: RetryPolicy
  private let logger: Logger
  private let isClosed = Atomic<Bool>(false)

  init(client: ClickHouseClient, events: Mailbox<PipelineEvent>, retry: RetryPolicy, logger: Logger) {
    self.client = client
    self.events = events
    self.retry = retry
    self.logger = logger
  }

  /// What has not been answered by now never is.
  func close() { isClosed.store(true, ordering: .relaxed) }

  /// The answer comes as `PipelineEvent.counted`.
  func count(
    _ table: TableName, _ partition: TopicPartition, _ first: Int64, _ last: Int64, id: Int, block: Int
  ) {
    let query =
      "SELECT uniqExact(_offset) FROM \(table.sql) WHERE _topic = \(TableName.literal(partition.topic))"
      + " AND _partition = \(partition.partition) AND _offset BETWEEN \(first) AND \(last)"
      + " SETTINGS select_sequential_consistency = 1"
    Task.detached { [self] in
      var attempt = 0
      while !isClosed.load(ordering: .relaxed) {
        do throws(ClickHouseError) {
          let text = try await client.queryText(query)
          let rows = Int(text.filter { $0.isNumber })
          logger.notice(
            "an old block was looked for",
            ["partition": partition.description, "offsets": "\(first)-\(last)", "rows": rows.map { "\($0)" } ?? "-"])
          _ = events.post(.counted(partition: id, block: block, rows: rows))
          return
        } catch {
          attempt += 1
          logger.warning(
            "an old block could not be looked for; trying again",
            ["partition": partition.description, "error": error.message])
        }
        try? await Task.sleep(for: retry.delay(afterAttempt: attempt, random: .random(in: 0..<1)))
      }
    }
  }
}
