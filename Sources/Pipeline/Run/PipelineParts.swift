internal import ClickHouseClient
internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// The parts of one run, wired.
struct PipelineParts {
  let configuration: PipelineConfiguration
  let transforms: [String: any Transform]
  let client: ClickHouseClient
  let metrics: MetricsRegistry
  let meter = MemoryMeter()
  let alarms = AlarmBoard()
  let freed = WakeSignal()
  let events: Mailbox<PipelineEvent>
  let inserter: Inserter
  let reader: RecordReader
  let counter: RangeCounter
  let inquiry: OutcomeInquiry
  let time: TimeSource
  let producer: KafkaProducer?
  let shared: PipelineShared

  init(
    configuration: PipelineConfiguration, transforms: [String: any Transform], client: ClickHouseClient,
    consumer: KafkaConsumer, producer: KafkaProducer?, metrics: MetricsRegistry, shared: PipelineShared,
    time: TimeSource
  ) {
    self.configuration = configuration
    self.transforms = transforms
    self.client = client
    self.metrics = metrics
    self.producer = producer
    self.shared = shared
    events = Mailbox { consumer.wake() }
    inquiry = OutcomeInquiry(client: client, logger: configuration.logger, time: time)
    inserter = Inserter(
      context: InserterContext(
        client: client, limitInFlight: configuration.limits.insertsInFlight, retry: configuration.retry, meter: meter,
        metrics: metrics, alarms: alarms, logger: configuration.logger, time: time,
        compression: configuration.clickhouse.compression, events: events, inquiry: inquiry,
        freed: freed))
    self.time = time
    counter = RangeCounter(
      client: client, events: events, retry: configuration.retry, alarms: alarms, logger: configuration.logger)
    reader = RecordReader(
      configuration: configuration.kafka, events: events, retry: configuration.retry, meter: meter,
      limitBytes: configuration.blockBudgetBytes, logger: configuration.logger)
  }

  func makeHandler(_ resolved: [ResolvedRoute]) throws(PipelineError) -> PipelineHandler {
    let budgetBytes = configuration.blockBudgetBytes
    var tables: [TableState] = []
    var deadLetterTables: [TableName: TableState] = [:]
    var routes: [RouteState] = []
    for route in resolved {
      let table = makeTable(
        at: tables.count, route.table, route.layout, of: route, isolates: true,
        policy: policy(route.configuration.block))
      tables.append(table)
      var deadLetterTable: TableState?
      if let wanted = route.deadLetterTable {
        deadLetterTable = deadLetterTables[wanted.name]
        if deadLetterTable == nil {
          let made = makeTable(
            at: tables.count, wanted.name, wanted.layout, of: route, isolates: false, policy: policy(SealPolicy()))
          tables.append(made)
          deadLetterTables[wanted.name] = made
          deadLetterTable = made
        }
      }
      let applied = route.configuration.transforms.compactMap { transforms[$0] }
      routes.append(
        RouteState(
          configuration: route.configuration, table: table, deadLetterTable: deadLetterTable,
          decoder: RecordDecoder(plan: route.plan, transforms: applied)))
    }
    let context = HandlerContext(
      configuration: configuration, inserter: inserter, events: events, freed: freed, meter: meter, metrics: metrics,
      alarms: alarms, reader: reader, counter: counter, shared: shared, logger: configuration.logger)
    let desk = DeadLetterDesk(
      producer: producer, events: events, meter: meter, retry: configuration.retry, alarms: alarms,
      logger: configuration.logger, pending: metrics.gauge(PipelineMetric.deadLettersPending))
    return PipelineHandler(
      context: context, router: try Router(routes: routes, tables: tables),
      budget: MemoryBudget(limitBytes: budgetBytes, resumeBytes: budgetBytes * 6 / 10), deadLetters: desk,
      exactly: makeDesk(resolved, routes))
  }

  private func makeDesk(_ resolved: [ResolvedRoute], _ routes: [RouteState]) -> ExactlyOnceDesk? {
    guard resolved.contains(where: { $0.delivery != nil }) else { return nil }
    var facts: [Int: DeliveryTable] = [:]
    for (route, state) in zip(resolved, routes) { facts[state.table.target.index] = route.delivery }
    let session = configuration.kafka.sessionTimeout
    let rules = DeliveryRules(
      session: session, leaseMargin: session / 8, commitInterval: configuration.limits.commitInterval,
      insertDeadline: configuration.insertDeadline)
    return ExactlyOnceDesk(
      machine: ExactlyOnceStateMachine(rules: rules), tables: facts, time: time)
  }

  private func makeTable(
    at index: Int, _ name: TableName, _ layout: BlockLayout, of route: ResolvedRoute, isolates: Bool,
    policy: SealPolicy
  ) -> TableState {
    TableState(
      target: InsertTarget(
        index: index, table: name, settings: route.insertSettings(client, configuration, intoDeadLetters: !isolates),
        usesTokens: client.usesTokens, isolatesBadRows: isolates,
        deadline: route.delivery == nil ? nil : configuration.insertDeadline,
        isCounted: route.delivery?.isCounted ?? false),
      layout: layout,
      policy: policy)
  }

  /// A block may use so much of the budget that one can grow while one is encoded and the allowed number is in flight.
  private func policy(_ wanted: SealPolicy) -> SealPolicy {
    var policy = wanted
    policy.maxBytes = min(wanted.maxBytes, configuration.blockBudgetBytes / (configuration.limits.insertsInFlight + 2))
    return policy
  }
}
