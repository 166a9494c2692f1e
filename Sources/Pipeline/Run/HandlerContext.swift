internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// What the pipeline's parts on the consumer's thread work with.
struct HandlerContext: Sendable {
  let configuration: PipelineConfiguration
  let inserter: Inserter
  let events: Mailbox<PipelineEvent>
  /// Woken whenever memory has been given back.
  let freed: WakeSignal
  let meter: MemoryMeter
  let metrics: MetricsRegistry
  let alarms: AlarmBoard
  let reader: RecordReader
  let counter: RangeCounter
  let shared: PipelineShared
  let logger: Logger
}
