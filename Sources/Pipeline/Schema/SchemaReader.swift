internal import ClickHouseClient
internal import SinkTelemetry

/// A route whose table is known.
struct ResolvedRoute: Sendable {
  struct DeadLetters: Sendable {
    let name: TableName
    let layout: BlockLayout
    let description: TableDescription
  }

  let configuration: RouteConfiguration
  let table: TableName
  let plan: RecordPlan
  /// What exactly once goes by; nil for at least once.
  var delivery: DeliveryTable?
  let deadLetterTable: DeadLetters?

  var layout: BlockLayout { plan.layout }

  /// What its inserts ask of the server.
  func insertSettings(
    _ client: ClickHouseClient, _ configuration: PipelineConfiguration, intoDeadLetters: Bool
  ) -> [(String, String)] {
    // What is counted says by its offsets which record it is: no two blocks are alike.
    let isTold = client.usesTokens || delivery?.isCounted == true
    var settings = isTold ? [] : client.settingsWithoutTokens.map { ($0.name, $0.value) }
    if !intoDeadLetters { settings += plan.requiredSettings }
    // An insert that goes on after its request's end must not land for ever after.
    if delivery != nil { settings.append(configuration.executionTime) }
    return settings
  }
}

/// What the servers' tables make of the routes.
struct SchemaSurvey: Sendable {
  var routes: [ResolvedRoute] = []
  var delivery = DeliveryDecision(.atLeastOnce)
  var findings: [PipelineFinding] = []
  /// Why it is at least once, where that was not asked for.
  var notes: [PipelineFinding] = []
}

/// Reads what the routes' tables look like, and fits the routes to them.
struct SchemaReader {
  let client: ClickHouseClient
  let logger: Logger
  /// What the routes ask for; nil: whatever holds.
  var wantedDelivery: DeliveryGuarantee? = .atLeastOnce
  /// Why it cannot be exactly once, whatever the tables are.
  var deliveryObstacles: [String] = []
  var transforms: [String: any Transform] = [:]
  /// What exactly once asks of the server beside tokens.
  private var needs: [(name: String, value: String)] = []

  /// For columns alone: what delivery needs of a table is not looked at.
  init(client: ClickHouseClient, logger: Logger) {
    self.client = client
    self.logger = logger
  }

  init(_ configuration: PipelineConfiguration, _ client: ClickHouseClient, _ transforms: [String: any Transform]) {
    self.init(client: client, logger: configuration.logger)
    self.transforms = transforms
    wantedDelivery = configuration.wantedDelivery
    deliveryObstacles = configuration.deliveryObstacles
    needs = [configuration.executionTime]
  }

  /// - Throws: `unreachable` or `refused` where the server does not answer or has no such table; `configuration` with
  ///   every problem of every route at once.
  func resolve(_ routes: [RouteConfiguration]) async throws(PipelineError) -> SchemaSurvey {
    let survey = try await survey(routes)
    guard survey.findings.isEmpty else {
      let code = survey.findings.allSatisfy { $0.code == .refused } ? PipelineError.Code.refused : .configuration
      throw PipelineError(code, "routes and tables do not fit", details: survey.findings.map(\.message))
    }
    return survey
  }

  /// As `resolve`, with what was found instead of an error.
  func survey(_ routes: [RouteConfiguration]) async throws(PipelineError) -> SchemaSurvey {
    let server = try await readServer()
    var survey = SchemaSurvey()
    if wantedDelivery == nil {
      survey.notes = deliveryObstacles.map { PipelineFinding(.configuration, "kafka", $0, isNote: true) }
    }
    for (index, route) in routes.enumerated() {
      let place = "routes[\(index + 1)]"
      do throws(RouteProblem) {
        var (resolved, problems) = try await resolve(route, server)
        survey.notes += problems.map {
          PipelineFinding(.configuration, "\(place).table", "table \(route.table): \($0)", isNote: true)
        }
        if !survey.notes.isEmpty { resolved.delivery = nil }
        survey.routes.append(resolved)
      } catch {
        switch error {
        case .server(let failure): throw failure
        case .findings(let found):
          survey.findings += found.map { PipelineFinding($0.code, "\(place).\($0.setting)", $0.message) }
        }
      }
    }
    decide(&survey)
    return survey
  }

  /// One promise for all: where one table cannot hold exactly once, none is asked to.
  private func decide(_ survey: inout SchemaSurvey) {
    let isExact = wantedDelivery != .atLeastOnce && survey.notes.isEmpty
    survey.delivery = DeliveryDecision(isExact ? .exactlyOnce : .atLeastOnce, reasons: survey.notes.map(\.message))
    if !isExact { for index in survey.routes.indices { survey.routes[index].delivery = nil } }
  }

  private enum RouteProblem: Error {
    /// The server cannot be asked: the rest would fail alike.
    case server(PipelineError)
    /// With settings as they are named within a route.
    case findings([PipelineFinding])
  }

  private func readServer() async throws(PipelineError) -> ServerTraits {
    do throws(ClickHouseError) {
      let version = try await client.serverVersion()
      let zone = try await client.queryText("SELECT timezone()").trimmed
      try await client.learnSettings()
      logger.info("ClickHouse answers", ["version": version.description, "timezone": zone])
      // The setting came with 21.x, but Native blocks heed it only since the readers were made one (22.x).
      return ServerTraits(
        zone: zone,
        nullAsDefault: client.knowsSetting("input_format_null_as_default") && version.isAtLeast(22, 6),
        times: try await readTimes())
    } catch {
      throw Self.startError(error)
    }
  }

  /// Asked, not concluded from the version: a server that does not know the type says so, which is an answer too.
  private func readTimes() async throws(ClickHouseError) -> TimeRange {
    do throws(ClickHouseError) {
      let shown = try await client.queryText("SELECT toString(toDateTime64('9999-12-31 23:59:59', 0, 'UTC'))")
      return shown.trimmed == "9999-12-31 23:59:59" ? .wide : .narrow
    } catch {
      guard error.code == .server else { throw error }
      return .narrow
    }
  }

  /// - Returns: the route, and why it cannot be exactly once where that was not asked for.
  private func resolve(
    _ route: RouteConfiguration, _ server: ServerTraits
  ) async throws(RouteProblem) -> (ResolvedRoute, [String]) {
    let name: TableName
    let description: TableDescription
    do throws(ClickHouseError) {
      name = try TableName(route.table)
      description = try await client.describe(name)
    } catch {
      throw Self.problem(error, "table", "the table \(route.table)")
    }
    let zones = try await readZones(of: description, server)
    var findings: [PipelineFinding] = []
    var deadLetters: ResolvedRoute.DeadLetters?
    do throws(RouteProblem) {
      deadLetters = try await resolveDeadLetters(route)
    } catch {
      guard case .findings(let found) = error else { throw error }
      findings = found
    }
    let result = RecordPlan.resolve(
      table: description, mapping: route.mapping, zones: zones, server: server)
    switch result {
    case .success(let plan):
      let (delivery, problems) = try await resolveDelivery(route, name, description, deadLetters)
      if wantedDelivery == .exactlyOnce {
        findings += problems.map {
          PipelineFinding(
            .configuration, "delivery",
            "exactly_once cannot hold for table \(route.table): \($0); or use delivery: at_least_once")
        }
      }
      guard findings.isEmpty else { throw .findings(findings) }
      return (
        ResolvedRoute(
          configuration: route, table: name, plan: plan, delivery: delivery, deadLetterTable: deadLetters), problems
      )
    case .failure(let found):
      throw .findings(
        found.problems.map { problem in
          PipelineFinding(
            .configuration, problem.column.map { "columns.\($0)" } ?? "table", "table \(route.table): \(problem)")
        } + findings)
    }
  }

  private func resolveDelivery(
    _ route: RouteConfiguration, _ name: TableName, _ description: TableDescription,
    _ deadLetters: ResolvedRoute.DeadLetters?
  ) async throws(RouteProblem) -> (DeliveryTable?, problems: [String]) {
    guard wantedDelivery != .atLeastOnce else { return (nil, []) }
    do throws(ClickHouseError) {
      let versions = route.transforms.map { "\($0) \(transforms[$0]?.version ?? "")" }
      return try await DeliveryTableReader(client: client, transforms: versions, needs: needs).read(
        route, name, description, deadLetters)
    } catch {
      let problem = Self.problem(error, "delivery", "the table \(route.table)")
      // What cannot be looked at is no obstacle to less.
      guard case .findings(let found) = problem, wantedDelivery == nil else { throw problem }
      return (nil, found.map { "it could not be looked at: \($0.message)" })
    }
  }

  private func resolveDeadLetters(_ route: RouteConfiguration) async throws(RouteProblem) -> ResolvedRoute.DeadLetters?
  {
    guard case .table(let text) = route.deadLetters else { return nil }
    let known = DeadLetterTable.columns.map(\.name)
    do throws(ClickHouseError) {
      let name = try TableName(text)
      let description = try await client.describe(name)
      let taken = description.insertable.filter { known.contains($0.name) }
      if !taken.contains(where: { ["_value", "reason", "message"].contains($0.name) }) {
        throw ClickHouseError(
          code: .configuration,
          message: "none of the columns _value, reason and message; it may have " + known.joined(separator: ", "))
      }
      return ResolvedRoute.DeadLetters(
        name: name, layout: try BlockLayout(taken.map { ($0.name, $0.type) }), description: description)
    } catch {
      throw Self.problem(error, "dead_letters", "the dead letter table \(text)")
    }
  }

  private func readZones(
    of table: TableDescription, _ server: ServerTraits
  ) async throws(RouteProblem) -> [String: ZoneTransitions] {
    let names = table.insertable.reduce(into: Set<String>()) { $0.formUnion($1.type.timeZones) }
    var zones: [String: ZoneTransitions] = [:]
    for name in names.map({ $0.isEmpty ? server.zone : $0 }) where zones[name] == nil {
      do throws(ClickHouseError) {
        zones[name] = try await ZoneReader(client: client).read(name)
      } catch {
        throw Self.problem(error, "table", "the time zone \(name)")
      }
    }
    return zones
  }

  private static func problem(_ error: ClickHouseError, _ setting: String, _ what: String) -> RouteProblem {
    switch error.code {
    case .transport, .proxy, .cancelled: .server(startError(error))
    case .server where error.reaction == .retry: .server(startError(error))
    case .server: .findings([PipelineFinding(.refused, setting, "\(what): \(error.message)")])
    default: .findings([PipelineFinding(.configuration, setting, "\(what): \(error.message)")])
    }
  }

  static func startError(_ error: ClickHouseError) -> PipelineError {
    switch error.code {
    case .transport, .proxy, .cancelled:
      PipelineError(.unreachable, "ClickHouse cannot be reached: \(error.message)", cause: error)
    case .configuration, .tls: PipelineError(.configuration, error.message, cause: error)
    // The server answers and says that it cannot now: starting, overloaded, out of memory.
    case .server where error.reaction == .retry: PipelineError(.unreachable, error.message, cause: error)
    default: PipelineError(.refused, error.message, cause: error)
    }
  }
}
