internal import SinkTelemetry

/// The counters that a partition's records move, looked up once for each assignment.
struct PartitionCounters: Sendable {
  let records: Counter
  let bytes: Counter
  let tombstones: Counter
  let filtered: Counter
  let stale: Counter
  let unknownFields: Counter

  init(topic: String, table: String, metrics: MetricsRegistry) {
    records = metrics.counter(PipelineMetric.recordsReceived, [topic])
    bytes = metrics.counter(PipelineMetric.bytesReceived, [topic])
    tombstones = metrics.counter(PipelineMetric.tombstones, [topic])
    filtered = metrics.counter(PipelineMetric.recordsFiltered, [topic])
    stale = metrics.counter(PipelineMetric.recordsStale, [topic])
    unknownFields = metrics.counter(PipelineMetric.unknownFields, [table])
  }

  func add(_ done: RouteState.Absorbed) {
    records.add(done.records)
    bytes.add(done.bytes)
    if done.tombstones > 0 { tombstones.add(done.tombstones) }
    if done.filtered > 0 { filtered.add(done.filtered) }
    if done.stale > 0 { stale.add(done.stale) }
    if done.unknownFields > 0 { unknownFields.add(done.unknownFields) }
  }
}
