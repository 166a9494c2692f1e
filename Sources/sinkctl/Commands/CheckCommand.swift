internal import Pipeline
internal import SinkThreads

enum CheckCommand {
  static let command = Command(
    name: "check", summary: "Looks at a configuration and at the servers that it names; moves nothing.",
    discussion: """
      First the file and the certificates that it names: every problem at once, each with its line. Then the servers: reachable, authorised, topics there,
      tables and columns fitting the routes. Exits with 0 where 'run' would start, 78 for the file, 69 where a server
      cannot be reached, 77 where one refuses us or lacks a table or topic, 1 for other findings.
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
      report(found.problems.map { Finding($0.mark, "configuration", nil, $0.message) }, path, arguments)
      return .configuration
    case .success(let configuration):
      let notes = CertificateCheck(now: TimeSource.system.wallNanoseconds() / 1_000_000_000).notes(configuration)
      let found = arguments.has("offline") ? [] : await checkServers(configuration)
      let findings =
        notes.map {
          Finding(configuration.mark(of: $0.setting), "certificate", $0.setting, $0.message, isWarning: $0.isWarning)
        }
        + found.map { finding in
          let words = finding.isNote ? "delivery is at least once: \(finding.message)" : finding.message
          return Finding(
            configuration.mark(of: finding.setting), finding.isNote ? "delivery" : finding.code.rawValue,
            finding.setting,
            words, isWarning: finding.isNote)
        }
      report(findings, path, arguments)
      let wrong = found.filter { !$0.isNote }
      if wrong.contains(where: { $0.code == .unreachable }) { return .unreachable }
      if wrong.contains(where: { $0.code == .refused }) { return .refused }
      return findings.allSatisfy(\.isWarning) ? .done : .findings
    }
  }

  private static func checkServers(_ configuration: SinkctlConfiguration) async -> [PipelineFinding] {
    do throws(PipelineError) {
      return await (try Pipeline(configuration.pipeline)).check()
    } catch {
      return ([error.message] + error.details).map { PipelineFinding(error.code, "", $0) }
    }
  }

  private struct Finding {
    let mark: SourceMark?
    let code: String
    let setting: String?
    let message: String
    /// `run` would start all the same.
    let isWarning: Bool

    init(_ mark: SourceMark?, _ code: String, _ setting: String?, _ message: String, isWarning: Bool = false) {
      self.isWarning = isWarning
      self.mark = mark
      self.code = code
      self.setting = setting
      self.message = message
    }
  }

  private static func report(_ findings: [Finding], _ path: String, _ arguments: Arguments) {
    let isOffline = arguments.has("offline")
    let findings = findings.sorted { ($0.mark?.line ?? .max, $0.message) < ($1.mark?.line ?? .max, $1.message) }
    guard !arguments.has("json") else { return Terminal.out(json(findings, path, isOffline: isOffline)) }
    for finding in findings {
      let words = (finding.isWarning ? "warning: " : "") + finding.message
      Terminal.out(ConfigurationProblem(file: path, mark: finding.mark, message: words).description)
    }
    let count = findings.count { !$0.isWarning }
    guard count == 0 else { return Terminal.out("\(count) \(count == 1 ? "finding" : "findings")") }
    Terminal.out("\(path): \(isOffline ? "the file is well; no server was asked" : "all is well: 'run' would start")")
  }

  private static func json(_ findings: [Finding], _ path: String, isOffline: Bool) -> String {
    var json = JSONText()
    json.object { json in
      json.field("file", path)
      json.field("ok", findings.allSatisfy(\.isWarning))
      json.field("servers_asked", !isOffline)
      json.field("findings") { json in
        for finding in findings {
          json.element { json in
            json.field("line", finding.mark?.line)
            json.field("column", finding.mark?.column)
            json.field("code", finding.code)
            json.field("level", finding.isWarning ? "warning" : "error")
            json.field("setting", finding.setting)
            json.field("message", finding.message)
          }
        }
      }
    }
    return json.text
  }
}
