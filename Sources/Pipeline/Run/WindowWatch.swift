internal import ClickHouseClient
internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Measures how fast the tables' tokens are used up, by all who insert, and says how long each is remembered at that rate.
/// An insert uses a token for each part that it makes.
final class WindowWatch: Sendable {
  private static let interval = Duration.seconds(30)
  private static let span = Duration.seconds(60)

  private struct Watched {
    let name: String
    let windows: [TokenWindow]
    var isShort = false
  }

  private let tables: [(name: String, windows: [TokenWindow])]
  private let client: ClickHouseClient
  private let events: Mailbox<PipelineEvent>
  private let metrics: MetricsRegistry
  private let logger: Logger
  private let time: TimeSource
  private let task = Mutex<Task<Void, Never>?>(nil)

  init(
    _ routes: [ResolvedRoute], client: ClickHouseClient, events: Mailbox<PipelineEvent>, metrics: MetricsRegistry,
    logger: Logger, time: TimeSource
  ) {
    tables = routes.compactMap { route in
      guard let windows = route.delivery?.windows, !windows.isEmpty else { return nil }
      return (route.table.description, windows)
    }
    self.client = client
    self.events = events
    self.metrics = metrics
    self.logger = logger
    self.time = time
  }

  func start() {
    guard !tables.isEmpty else { return }
    task.withLock { $0 = Task.detached { await self.watch() } }
  }

  func close() async {
    let task = task.withLock { $0.take() }
    task?.cancel()
    await task?.value
  }

  private func watch() async {
    var rates: [TableName: TokenRate] = [:]
    var watched = tables.map { Watched(name: $0.name, windows: $0.windows) }
    while !Task.isCancelled {
      for window in Set(watched.flatMap(\.windows)) {
        if let parts = await TokenRate.newParts(of: window.table, in: Self.span, client) {
          rates[window.table, default: TokenRate()].note(parts, in: Self.span, time.monotonic())
        }
      }
      for index in watched.indices { tell(&watched[index], rates) }
      try? await Task.sleep(for: Self.interval)
    }
  }

  private func tell(_ table: inout Watched, _ rates: [TableName: TokenRate]) {
    func rate(_ window: TokenWindow) -> Double { rates[window.table]?.rate ?? TokenRate.assumed }
    guard let least = table.windows.min(by: { $0.horizon(at: rate($0)) < $1.horizon(at: rate($1)) }) else { return }
    let horizon = least.horizon(at: rate(least))
    metrics.gauge(PipelineMetric.deduplicationHorizon, [table.name]).set(Int(horizon.seconds))
    events.post(.horizon(table: table.name, horizon))
    let isShort = horizon < DeliveryTableReader.leastHorizon
    defer { table.isShort = isShort }
    guard isShort != table.isShort else { return }
    guard isShort else { return logger.notice("tokens are remembered for long enough again", ["table": table.name]) }
    logger.error(
      "tokens are forgotten too soon: a block in doubt is counted instead of sent again, or stands still",
      [
        "table": table.name, "window_of": least.table.description, "tokens": "\(least.tokens)",
        "tokens_a_second": "\(rate(least))", "remembered_for": "\(horizon)",
      ])
  }
}
