internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Asks tables which offsets of a range they have, until they answer.
final class RangeCounter: Sendable {
  private let client: ClickHouseClient
  private let events: Mailbox<PipelineEvent>
  private let retry: RetryPolicy
  private let alarms: AlarmBoard
  private let logger: Logger
  private let isClosed = Atomic<Bool>(false)

  init(
    client: ClickHouseClient, events: Mailbox<PipelineEvent>, retry: RetryPolicy, alarms: AlarmBoard, logger: Logger
  ) {
    self.alarms = alarms
    self.client = client
    self.events = events
    self.retry = retry
    self.logger = logger
  }

  /// What has not been answered by now never is.
  func close() { isClosed.store(true, ordering: .relaxed) }

  /// How many different offsets of an old block there are. The answer comes as `PipelineEvent.counted`.
  func count(
    _ table: TableName, deadLetters: TableName?, _ partition: TopicPartition, _ first: Int64, _ last: Int64, id: Int,
    block: Int
  ) {
    ask(table, partition) { [self] () async throws(ClickHouseError) in
      let rows = try await offsets("uniqExact(_offset)", table, partition, first, last).first
      var letters: Int64?
      if let deadLetters {
        letters = try await offsets("uniqExact(_offset)", deadLetters, partition, first, last).first
      }
      logger.notice(
        "an old block was looked for",
        [
          "partition": partition.description, "offsets": "\(first)-\(last)", "rows": rows.map { "\($0)" } ?? "-",
          "dead_letters": letters.map { "\($0)" } ?? "-",
        ])
      return .counted(partition: id, block: block, rows: rows.map { Int($0) }, deadLetters: Int(letters ?? 0))
    }
  }

  /// Which offsets of a block are in any of the tables. The answer comes as `PipelineEvent.offsetsFound`.
  func find(_ tables: [TableName], _ partition: TopicPartition, _ range: ReplayRange, id: Int) {
    ask(tables.first, partition) { [self] () async throws(ClickHouseError) in
      var found: Set<Int64> = []
      for table in tables {
        found.formUnion(try await offsets("DISTINCT toInt64(_offset)", table, partition, range.first, range.last))
      }
      return .offsetsFound(partition: id, range, found)
    }
  }

  static func query(
    _ what: String, _ table: TableName, _ partition: TopicPartition, _ first: Int64, _ last: Int64
  ) -> String {
    "SELECT \(what) FROM \(table.sql) WHERE _topic = \(TableName.literal(partition.topic))"
      + " AND _partition = \(partition.partition) AND _offset BETWEEN \(first) AND \(last)"
  }

  private func offsets(
    _ what: String, _ table: TableName, _ partition: TopicPartition, _ first: Int64, _ last: Int64
  ) async throws(ClickHouseError) -> [Int64] {
    let text = try await client.queryExactly(Self.query(what, table, partition, first, last))
    return text.split(separator: "\n").compactMap { Int64($0) }
  }

  private func ask(
    _ table: TableName?, _ partition: TopicPartition,
    _ question: @escaping @Sendable () async throws(ClickHouseError) -> PipelineEvent
  ) {
    let alarm = "offsets in \(table?.description ?? "a table")"
    Task.detached { [self] () async in
      var attempt = 0
      while !isClosed.load(ordering: .relaxed) {
        do throws(ClickHouseError) {
          events.post(try await question())
          if alarms.clear(alarm) { logger.notice("offsets can be looked for again", ["of": alarm]) }
          return
        } catch {
          attempt += 1
          let isNews = error.reaction != .retry && alarms.raise(alarm, error.message)
          logger.log(
            isNews ? .error : .warning,
            isNews
              ? "offsets cannot be looked for in a table until somebody mends it; the partition waits"
              : "offsets could not be looked for in a table; trying again",
            ["partition": partition.description, "error": error.message])
        }
        try? await Task.sleep(for: retry.delay(afterAttempt: attempt, random: .random(in: 0..<1)))
      }
    }
  }
}
