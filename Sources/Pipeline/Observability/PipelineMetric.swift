public import SinkTelemetry

/// Every metric of a pipeline: the one place where a name is spelled. docs/METRICS.md lists the same; a test compares.
public enum PipelineMetric {
  public static let recordsReceived = MetricDescription(
    "sinkctl_records_received_total", .counter, "Records read from Kafka, tombstones included.", labels: ["topic"])
  public static let bytesReceived = MetricDescription(
    "sinkctl_received_bytes_total", .counter, "Bytes of the values of the records read from Kafka.", labels: ["topic"])
  public static let tombstones = MetricDescription(
    "sinkctl_tombstones_total", .counter, "Records without a value, accounted for and not inserted.", labels: ["topic"])
  public static let recordsFiltered = MetricDescription(
    "sinkctl_records_filtered_total", .counter, "Records that a transform dropped.", labels: ["topic"])
  public static let recordsStale = MetricDescription(
    "sinkctl_records_stale_total", .counter, "Records below the position already read, dropped.", labels: ["topic"])
  public static let unknownFields = MetricDescription(
    "sinkctl_unknown_fields_total", .counter, "Fields that no column takes, where the route counts them.",
    labels: ["table"])
  public static let deadLetters = MetricDescription(
    "sinkctl_dead_letters_total", .counter, "Records that could not become rows, by reason.",
    labels: ["topic", "reason"])
  public static let deadLettersPending = MetricDescription(
    "sinkctl_dead_letters_pending", .gauge, "Dead letters handed over and not yet acknowledged.")
  public static let rowsInserted = MetricDescription(
    "sinkctl_rows_inserted_total", .counter, "Rows of the inserts that ClickHouse accepted.", labels: ["table"])
  public static let bytesInserted = MetricDescription(
    "sinkctl_inserted_bytes_total", .counter, "Bytes of the bodies of accepted inserts, compressed.", labels: ["table"])
  public static let blocksSealed = MetricDescription(
    "sinkctl_blocks_sealed_total", .counter, "Blocks that stopped growing, by reason.", labels: ["table", "reason"])
  public static let insertResults = MetricDescription(
    "sinkctl_insert_results_total", .counter,
    "Attempts to insert: accepted, retry (the server or the way failed), unknown, alarm, isolate.",
    labels: ["table", "result"])
  public static let insertSeconds = MetricDescription(
    "sinkctl_insert_seconds", .histogram, "Time of one attempt, from its start to its outcome.", labels: ["table"])
  public static let insertRows = MetricDescription(
    "sinkctl_insert_rows", .histogram, "Rows of an accepted insert.", labels: ["table"])
  public static let insertsInFlight = MetricDescription(
    "sinkctl_inserts_in_flight", .gauge, "Inserts under way.")
  public static let blocksWaiting = MetricDescription(
    "sinkctl_blocks_waiting", .gauge, "Sealed blocks that are not under way: queued, or waiting to be tried again.")
  public static let exactlyOnce = MetricDescription(
    "sinkctl_exactly_once", .gauge, "1 where delivery is exactly once, 0 where it is at least once.")
  public static let deduplicationHorizon = MetricDescription(
    "sinkctl_deduplication_horizon_seconds", .gauge,
    "How long the table, its views' targets and its dead letters remember an insert, at the rate measured.",
    labels: ["table"])
  public static let tableAlarm = MetricDescription(
    "sinkctl_table_alarm", .gauge, "1 while a table refuses inserts until a person mends it.", labels: ["table"])
  public static let lag = MetricDescription(
    "sinkctl_consumer_lag", .gauge, "Records between the frontier and the end of the partition.",
    labels: ["topic", "partition"])
  public static let frontier = MetricDescription(
    "sinkctl_frontier_offset", .gauge, "The offset below which every record is accounted for.",
    labels: ["topic", "partition"])
  public static let committed = MetricDescription(
    "sinkctl_committed_offset", .gauge, "The offset last known to be committed.", labels: ["topic", "partition"])
  public static let commits = MetricDescription(
    "sinkctl_commits_total", .counter, "Offset commits: known, refused or unknown.", labels: ["result"])
  public static let rebalances = MetricDescription(
    "sinkctl_rebalances_total", .counter, "Changes of the assignment: assigned, revoked or lost.", labels: ["kind"])
  public static let assignedPartitions = MetricDescription(
    "sinkctl_assigned_partitions", .gauge, "Partitions that this member reads.")
  public static let pausedPartitions = MetricDescription(
    "sinkctl_paused_partitions", .gauge, "Partitions that wait for memory.")
  public static let memoryUsed = MetricDescription(
    "sinkctl_memory_used_bytes", .gauge,
    "Bytes of blocks and request bodies, open, sealed or in flight, and of dead letters on their way.")
  public static let memoryLimit = MetricDescription(
    "sinkctl_memory_limit_bytes", .gauge, "What they may take: limits.memory less Kafka's queue.")
  public static let offsetsOutOfRange = MetricDescription(
    "sinkctl_offsets_out_of_range_total", .counter, "Times that the log no longer held the offset to read next.",
    labels: ["topic"])
  public static let offsetsSkipped = MetricDescription(
    "sinkctl_offsets_skipped_total", .counter, "Offsets that retention had deleted before they were read.",
    labels: ["topic"])

  public static let all: [MetricDescription] = [
    recordsReceived, bytesReceived, tombstones, recordsFiltered, recordsStale, unknownFields, deadLetters,
    deadLettersPending, rowsInserted, bytesInserted, blocksSealed, insertResults, insertSeconds, insertRows,
    insertsInFlight, blocksWaiting, exactlyOnce, deduplicationHorizon, tableAlarm, lag, frontier, committed, commits,
    rebalances,
    assignedPartitions,
    pausedPartitions, memoryUsed, memoryLimit, offsetsOutOfRange, offsetsSkipped,
  ]

  static let secondsBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
  static let rowsBounds: [Double] = [1, 10, 100, 1000, 10_000, 50_000, 100_000, 200_000, 500_000, 1_000_000]
}
