internal import ClickHouseClient
internal import Glibc
internal import KafkaClient
internal import Pipeline
internal import SinkThreads
internal import Synchronization

/// Runs `sinkctl run` as a child while the records come, kills it in the midst of them, and starts it again.
final class DemoRun: Sendable {
  struct Problem: Error {
    let message: String
    var code = ExitCode.software
  }

  /// Nothing moves for so long: something is wrong.
  private static let patience = Duration.seconds(60)

  private let site: DemoSite
  private let feed: DemoFeed
  private let schedule: KillSchedule
  private let client: ClickHouseClient
  private let child: Mutex<ChildProcess?> = Mutex(nil)

  init(_ site: DemoSite, _ feed: DemoFeed, _ schedule: KillSchedule) throws(ClickHouseError) {
    self.site = site
    self.feed = feed
    self.schedule = schedule
    client = try ClickHouseClient(site.pipeline.clickhouse)
  }

  /// Ends what is left of it.
  func close() {
    child.withLock { $0 }?.send(SIGKILL)
    client.close()
  }

  /// - Returns: how often it was killed.
  func move() async throws(Problem) -> Int {
    start()
    feed.allow(allowance(0))
    var line = DemoProgress(total: feed.total, kills: schedule.rows.count)
    var kills = 0
    var rowsAtKill = -1
    var last = (rows: -1, at: TimeSource.system.monotonic())
    while true {
      try checkChild()
      if let problem = feed.problem {
        throw Problem(message: "\(problem); scripts/demo makes the data", code: .findings)
      }
      let rows = try await rows()
      let now = TimeSource.system.monotonic()
      if rows != last.rows { last = (rows, now) }
      guard now - last.at < Self.patience else {
        throw Problem(message: "nothing has moved for \(Self.patience)\(logTail)", code: .unreachable)
      }
      line.show(rows, kills: kills, now)
      // Not one that has only just begun: it must have moved something.
      if kills < schedule.rows.count, rows >= schedule.rows[kills], rows > rowsAtKill {
        try? await Task.sleep(for: schedule.delays[kills])
        rowsAtKill = try await pullThePlug()
        kills += 1
        feed.allow(allowance(kills))
      } else if feed.isDone, rows >= feed.total, try await whatIsLeft().beyond == 0 {
        break
      }
      try? await Task.sleep(for: .milliseconds(25))
    }
    Terminal.showProgress("")
    try await drain()
    return kills
  }

  /// How many records may be sent: a little beyond the next kill, so that it meets records on their way, however fast the
  /// machine is, and leaves some to move.
  private func allowance(_ kills: Int) -> Int {
    kills < schedule.rows.count ? min(feed.total, schedule.rows[kills] + feed.total / 20) : feed.total
  }

  private func start() {
    let started = ChildProcess([ChildProcess.ownPath(), "run", "--config", site.configurationPath], log: site.logPath)
    child.withLock { $0 = started }
  }

  /// - Returns: the rows that are there then.
  private func pullThePlug() async throws(Problem) -> Int {
    guard let victim = child.withLock({ $0 }) else { return 0 }
    victim.send(SIGKILL)
    guard await victim.end(within: .seconds(10)) == 128 + SIGKILL else {
      throw Problem(message: "the pipeline was not killed: it had ended by itself\(logTail)")
    }
    let left = try await whatIsLeft()
    Terminal.showProgress("")
    Terminal.out(
      "pulled the plug (kill -9) after \(ProgressLine.grouped(left.rows)) rows, \(ProgressLine.grouped(left.beyond)) of "
        + "them not committed; started again")
    start()
    return left.rows
  }
}

// MARK: - What is seen

extension DemoRun {
  private static let union = DemoSite.names.map { "SELECT count() AS c FROM \(DemoSite.database).\($0)" }
    .joined(separator: " UNION ALL ")

  private func rows() async throws(Problem) -> Int { try await number("SELECT sum(c) FROM (\(Self.union))") }

  private func number(_ sql: String) async throws(Problem) -> Int {
    do throws(ClickHouseError) {
      return Int(try await client.queryText(sql).filter(\.isNumber)) ?? 0
    } catch {
      throw Problem(message: error.message, code: error.isRetriable ? .unreachable : .refused)
    }
  }

  /// What a killed run has left: rows in ClickHouse, and how many of them lie beyond what the group has committed. These
  /// were on their way: their blocks are declared, and whoever comes next sends them again.
  private func whatIsLeft() async throws(Problem) -> (rows: Int, beyond: Int) {
    let partitions = DemoSite.names.flatMap { name in
      (0..<DemoSite.partitions).map { TopicPartition(name, Int32($0)) }
    }
    let committed: [CommittedOffset]
    do throws(KafkaError) {
      committed = try await KafkaAdmin(brokers: site.brokers).committedOffsets(
        group: site.pipeline.kafka.group, partitions, within: .seconds(10))
    } catch {
      throw Problem(message: error.message, code: .unreachable)
    }
    let counts = DemoSite.names.map { name in
      let places = committed.filter { $0.partition.topic == name }.map {
        "_partition = \($0.partition.partition) AND _offset >= \($0.offset ?? 0)"
      }
      return "SELECT countIf(\(places.joined(separator: " OR "))) AS c FROM \(DemoSite.database).\(name)"
    }
    let beyond = try await number("SELECT sum(c) FROM (\(counts.joined(separator: " UNION ALL ")))")
    return (try await rows(), beyond)
  }

  /// A run that ends by itself says why in its log.
  private func checkChild() throws(Problem) {
    guard let child = child.withLock({ $0 }), let code = child.code else { return }
    throw Problem(
      message: child.problem ?? "the pipeline has ended by itself\(logTail)",
      code: ExitCode(rawValue: code) ?? .software)
  }

  /// As SIGTERM does: what is left lands, offsets are committed.
  private func drain() async throws(Problem) {
    guard let child = child.withLock({ $0 }) else { return }
    child.send(SIGTERM)
    guard let code = await child.end(within: .seconds(30)) else {
      throw Problem(message: "the pipeline does not drain\(logTail)")
    }
    guard code == 0 else {
      throw Problem(message: "the pipeline ended with \(code)\(logTail)", code: ExitCode(rawValue: code) ?? .software)
    }
  }

  private var logTail: String {
    var lines: [String] = []
    if let reader = try? LineReader(path: site.logPath) {
      while let line = try? reader.next() { lines.append(String(decoding: line, as: UTF8.self)) }
    }
    return "; its log, \(site.logPath), ends with\n" + lines.suffix(12).joined(separator: "\n")
  }
}
