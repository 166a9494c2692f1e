internal import ClickHouseClient
internal import Glibc
internal import KafkaClient
internal import Pipeline
internal import SinkTelemetry
internal import SinkThreads

enum DemoCommand {
  /// A real broker takes a killed member back at once; the mock cluster after six seconds.
  private static let kills = (real: 3, mock: 2)

  static let command = Command(
    name: "demo", summary: "Moves real data into your ClickHouse, pulls the plug meanwhile, and audits the result.",
    discussion: """
      What 'scripts/demo' calls after it has made the data and the tables: sends DIR/flights.jsonl, weather.jsonl and
      planes.jsonl to topics of those names, and runs 'sinkctl run' with delivery exactly_once until all of them are in the
      tables of those names in the database sinkctl_demo. Meanwhile it kills that process (SIGKILL) a few times and starts it
      again. At the end 'sinkctl audit' looks for every offset.

      The broker is librdkafka's mock cluster inside this process, unless --brokers names a real one. The configuration and
      the log of the run stay in DIR (sinkctl.yaml, sinkctl.log). A password is taken from the environment's
      SINK_CLICKHOUSE_PASSWORD. Exits with 1 where an offset is missing or doubled.
      """,
    options: [
      .init("data", "DIR", "Where the three files are.", isRequired: true),
      .init("clickhouse", "URL", "A ClickHouse over HTTP, with the three tables.", isRequired: true),
      .init("user", "NAME", "ClickHouse's user, where that is not 'default'."),
      .init("brokers", "HOST:PORT,…", "A real Kafka; its topics flights, weather and planes are made if missing."),
      .init(
        "kills", "N", "How often the plug is pulled; \(kills.real) by default, \(kills.mock) with the mock cluster."),
      .init("seed", "NUMBER", "Repeats the moments of an earlier demo, which has said its seed."),
    ],
    examples: ["scripts/demo", "sinkctl demo --data DIR --clickhouse http://127.0.0.1:8123 --kills 10"]
  ) { arguments in
    guard let kills = number("kills", arguments, orElse: arguments.has("brokers") ? kills.real : kills.mock, upTo: 100),
      let seed = number("seed", arguments, orElse: Int(UInt16.random(in: 1 ... .max)), upTo: .max)
    else { return .usage }
    do {
      return try await run(arguments, kills: kills, seed: UInt64(seed))
    } catch let error as PipelineError {
      Terminal.showProgress("")
      Terminal.error("sinkctl: \(error)")
      return ExitCode(error)
    } catch let problem as DemoRun.Problem {
      Terminal.showProgress("")
      Terminal.error("sinkctl: \(problem.message)")
      return problem.code
    } catch let problem as LineReader.Problem {
      Terminal.error("sinkctl: \(problem.message); scripts/demo makes the data")
      return .findings
    } catch {
      Terminal.error("sinkctl: \(error)")
      return .software
    }
  }

  private static func number(_ name: String, _ arguments: Arguments, orElse: Int, upTo: Int) -> Int? {
    guard let text = arguments.value(name) else { return orElse }
    if let number = Int(text), 0...upTo ~= number { return number }
    Terminal.error("sinkctl: --\(name) '\(text)' must be a whole number" + (upTo < .max ? " up to \(upTo)." : "."))
    return nil
  }

  private static func run(_ arguments: Arguments, kills: Int, seed: UInt64) async throws -> ExitCode {
    let directory = arguments.value("data") ?? ""
    let site = try await DemoSite.make(
      directory: directory, brokers: arguments.value("brokers")?.split(separator: ",").map(String.init),
      clickhouse: clickhouse(arguments))
    // Its brokers end with it.
    defer { extendLifetime(site.mock) }
    let feed = try DemoFeed(directory: directory, brokers: site.brokers)
    let isExact = site.promise == .exactlyOnce
    let schedule = KillSchedule(kills: isExact ? kills : 0, rows: feed.total, seed: seed)
    if !isExact {
      Terminal.out(
        "this ClickHouse knows no deduplication tokens (22.x and later do): at least once, and the plug stays in")
    } else if kills > 0 {
      Terminal.out("delivery: exactly_once; the plug is pulled \(kills) \(AuditText.noun(kills, "time")), seed \(seed)")
    }
    let start = TimeSource.system.monotonic()
    let run = try DemoRun(site, feed, schedule)
    SignalWatcher.onStop {
      run.close()
      Terminal.showProgress("")
      Terminal.flush(within: .milliseconds(200))
      exit(130)
    }
    defer { run.close() }
    async let feeding: Void = feed.send()
    let done = try await run.move()
    await feeding
    let seconds = ((TimeSource.system.monotonic() - start).seconds * 10).rounded() / 10
    Terminal.out(
      "\(ProgressLine.grouped(feed.total)) records moved in \(seconds) s, through \(done) \(AuditText.noun(done, "kill"))"
    )
    return try await audit(site, records: feed.total)
  }

  private static func audit(_ site: DemoSite, records: Int) async throws -> ExitCode {
    let progress = AuditProgressLine(isInteractive: Terminal.isInteractive)
    let report = try await Pipeline(site.pipeline).audit { progress.show($0) }
    progress.end()
    let text = AuditText(report: report, configuration: site.pipeline, showsAll: false)
    // Nothing to verify is no proof.
    let isProven = report.isClean && report.tally.offsets >= records
    Terminal.out("audit: " + (isProven ? text.verdict : "\n" + text.table))
    return isProven ? .done : .findings
  }

  private static func clickhouse(_ arguments: Arguments) -> ClickHouseConfiguration {
    var clickhouse = ClickHouseConfiguration(url: arguments.value("clickhouse") ?? "")
    if let user = arguments.value("user") { clickhouse.user = user }
    if let password = Environment.system.variable("SINK_CLICKHOUSE_PASSWORD") { clickhouse.password = Secret(password) }
    return clickhouse
  }
}
