internal import Pipeline

enum CheckCommand {
  static let command = Command(
    name: "check", summary: "Looks at a configuration and at the servers that it names; moves nothing.",
    discussion: """
      First the file: every problem at once, each with its line. Then the servers: reachable, authorised, topics there,
      tables and columns fitting the routes. Exits with 0 where 'run' would start, 78 for the file, 69 where a server
      cannot be reached, 77 where one refuses us, 1 for other findings.
      """,
    options: [
      Command.config, .init("offline", nil, "The file only; no server is asked."),
      .init("json", nil, "Findings as one JSON object, for machines."),
    ],
    examples: ["sinkctl check --config sinkctl.yaml", "sinkctl check --config sinkctl.yaml --offline"]
  ) { arguments in
    let path = arguments.value("config") ?? ""
    switch ConfigurationReader(environment: .system).read(path: path) {
    case .failure(let found):
      report(found.problems.map { ($0.mark, $0.message, "configuration") }, path, arguments)
      return .configuration
    case .success(let configuration):
      guard !arguments.has("offline") else {
        report([], path, arguments)
        return .done
      }
      return await checkServers(configuration, path, arguments)
    }
  }

  private static func checkServers(
    _ configuration: SinkctlConfiguration, _ path: String, _ arguments: Arguments
  ) async -> ExitCode {
    var errors: [PipelineError]
    do throws(PipelineError) {
      errors = await (try Pipeline(configuration.pipeline)).check()
    } catch {
      errors = [error]
    }
    let findings = errors.flatMap { error in
      ([error.message] + error.details).map { message in
        (mark(of: message, configuration), message, error.code.rawValue)
      }
    }
    report(findings, path, arguments)
    if errors.contains(where: { $0.code == .unreachable }) { return .unreachable }
    if errors.contains(where: { $0.code == .refused }) { return .refused }
    return errors.isEmpty ? .done : .findings
  }

  /// The route that a finding is about, by the table or topic that it names.
  private static func mark(of message: String, _ configuration: SinkctlConfiguration) -> SourceMark? {
    for (route, mark) in zip(configuration.pipeline.routes, configuration.routeMarks) {
      if message.contains("table \(route.table)") || route.topics.contains(where: { message.contains("'\($0)'") }) {
        return mark
      }
    }
    return nil
  }

  private static func report(
    _ findings: [(mark: SourceMark?, message: String, code: String)], _ path: String, _ arguments: Arguments
  ) {
    if arguments.has("json") {
      var json = JSONText()
      json.object { json in
        json.field("file", path)
        json.field("ok", findings.isEmpty)
        json.field("findings") { json in
          for finding in findings {
            json.element { json in
              json.field("line", finding.mark?.line)
              json.field("code", finding.code)
              json.field("message", finding.message)
            }
          }
        }
      }
      return Terminal.out(json.text)
    }
    for finding in findings {
      Terminal.out(ConfigurationProblem(file: path, mark: finding.mark, message: finding.message).description)
    }
    Terminal.out(findings.isEmpty ? "\(path): all is well" : "\(findings.count) finding(s)")
  }
}
