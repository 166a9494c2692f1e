import ClickHouseClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import sinkctl

/// `sinkctl demo` with less data: it kills what it has started, and the audit finds every offset once.
@Suite(
  .serialized, .enabled(if: TestMachine.hasFront, "chdb-core is not installed: run scripts/test"),
  .timeLimit(.minutes(10)))
struct DemoProcessTests {
  @Test func everyOffsetIsThereOnceThoughThePlugWasPulled() async throws {
    let site = try await DemoTestSite.make(flights: 20_000)
    let result = try await site.start(["--kills", "2", "--seed", "5"]).end(within: .patience)
    #expect(result.code == 0, "\(result)\n\(site.directory.text("sinkctl.log").suffix(3000))")
    let lines = result.out.split(separator: "\n").map(String.init)
    #expect(lines.first == "delivery: exactly_once; the plug is pulled 2 times, seed 5")
    #expect(lines.count { $0.hasPrefix("pulled the plug (kill -9) after ") } == 2, "\(result)")
    #expect(lines.contains { $0.hasPrefix("20,300 records moved in ") && $0.hasSuffix("through 2 kills") }, "\(result)")
    #expect(lines.last == "audit: every offset is accounted for once: 20,300 in 24 partitions", "\(result)")
    #expect(result.error.isEmpty, "\(result)")
    let rows = try await site.clickhouse.queryText(
      "SELECT count(), uniqExact(_partition, _offset), sum(id) FROM sinkctl_demo.flights")
    #expect(rows == "20000\t20000\t\(20_000 * 19_999 / 2)\n")
    #expect(site.runsLeft.isEmpty)
  }

  /// However it ends, what it has started ends with it.
  @Test(arguments: [SIGINT, SIGKILL]) func nothingOutlivesIt(signal: Int32) async throws {
    let site = try await DemoTestSite.make(flights: 100)
    let demo = try site.start(["--kills", "0"])
    try await demo.wait("its run") { site.runsLeft.count == 1 }
    demo.send(signal)
    #expect(try await demo.end().code == (signal == SIGINT ? 130 : 128 + SIGKILL))
    try await demo.wait("the run's end", within: .patience) { site.runsLeft.isEmpty }
  }

  @Test func whatCannotBeMovedIsSaid() async throws {
    let site = try await DemoTestSite.make(flights: 100)
    _ = try await site.clickhouse.queryText("DROP TABLE sinkctl_demo.weather")
    let result = try await site.start([]).end()
    #expect(result.code == 77 && result.error.contains("sinkctl_demo.weather"), "\(result)")
    #expect(site.runsLeft.isEmpty)
    let empty = try TemporaryDirectory()
    let missing = try await SinkctlProcess.run(["demo", "--data", empty.url.path, "--clickhouse", site.url])
    #expect(missing.code == 1 && missing.error.contains("scripts/demo makes the data"), "\(missing)")
  }

  @Test func theSameSeedPullsThePlugAtTheSamePlaces() {
    for seed in UInt64(1)...50 {
      let schedule = KillSchedule(kills: 4, rows: 10_000, seed: seed)
      #expect(schedule == KillSchedule(kills: 4, rows: 10_000, seed: seed))
      #expect(schedule != KillSchedule(kills: 4, rows: 10_000, seed: seed + 1))
      #expect(schedule.rows == schedule.rows.sorted() && schedule.rows.allSatisfy { (500..<9000).contains($0) })
    }
    #expect(KillSchedule(kills: 0, rows: 10, seed: 1).rows.isEmpty)
  }

  @Test func theProgressLineFitsATerminal() {
    let text = DemoProgress.text(366_213, of: 366_213, rate: 123_456, kills: 2, of: 3)
    #expect(text == "366,213 of 366,213 rows · 123,456 rows/s · 2 of 3 kills")
  }
}

/// The demo's tables and files, smaller.
private final class DemoTestSite: Sendable {
  let directory: TemporaryDirectory
  let url: String
  let clickhouse: ClickHouseClient
  private let front: ChildServer

  static func make(flights: Int) async throws -> DemoTestSite {
    let (front, url) = try await TestMachine.startFront()
    let site = try DemoTestSite(front, url)
    _ = try await site.clickhouse.queryText("CREATE DATABASE sinkctl_demo")
    for (name, count) in [("flights", flights), ("weather", 200), ("planes", 100)] {
      _ = try await site.clickhouse.queryText(
        "CREATE TABLE sinkctl_demo.\(name) (id UInt32, _topic String, _partition Int32, _offset Int64) "
          + "ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 10000")
      try site.directory.write("\(name).jsonl", (0..<count).map { #"{"id":\#($0)}"# + "\n" }.joined())
    }
    return site
  }

  private init(_ front: ChildServer, _ url: String) throws {
    self.front = front
    self.url = url
    directory = try TemporaryDirectory()
    clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: url))
  }

  deinit {
    clickhouse.close()
    front.stop()
  }

  func start(_ more: [String]) throws -> SinkctlProcess {
    try SinkctlProcess(["demo", "--data", directory.url.path, "--clickhouse", url] + more)
  }

  /// Processes that go by this demo's configuration.
  var runsLeft: [String] {
    let path = directory.url.appending(path: "sinkctl.yaml").path
    let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc"))?.filter { Int($0) != nil } ?? []
    return numbers.filter { number in
      let words = (try? Data(contentsOf: URL(filePath: "/proc/\(number)/cmdline"))) ?? Data()
      return String(decoding: words, as: UTF8.self).contains(path)
    }
  }
}
