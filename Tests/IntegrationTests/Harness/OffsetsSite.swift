import ClickHouseClient
import Foundation
import KafkaClient
import Pipeline
import TestServers
import Testing

/// A topic on a broker and its table, for tests of what the group holds: blocks of a hundred rows, and offsets that are
/// written from outside.
struct OffsetsSite {
  let broker: KafkaBroker
  let clickhouse: ClickHouseClient
  let ledger: RecordLedger
  let name: String
  let admin: KafkaAdmin
  var configuration: PipelineConfiguration

  /// - Parameters:
  ///   - name: of topic, table and group.
  ///   - records: over all partitions, in turns.
  ///   - columns: of the table.
  init(
    _ name: String, on broker: KafkaBroker, partitions: Int32 = 1, records: Int = 1000,
    columns: String = TestTable.columns
  ) async throws {
    let servers = try SharedServers.required()
    self.broker = broker
    self.name = name
    clickhouse = try servers.clickhouse()
    admin = try KafkaAdmin(brokers: [broker.bootstrap])
    try await admin.createTopic(name, partitions: Int(partitions), within: .patience)
    _ = try await clickhouse.queryText(
      "CREATE TABLE \(name) (\(columns)) ENGINE = MergeTree ORDER BY id "
        + "SETTINGS non_replicated_deduplication_window = 10000")
    ledger = try RecordLedger(brokers: [broker.bootstrap])
    try await ledger.produce(records, to: name, partitions: partitions)
    configuration = .test(name, brokers: [broker.bootstrap], url: servers.url, maxRows: 100)
    configuration.routes[0].delivery = .exactlyOnce
    configuration.kafka.instanceID = "one"
    configuration.kafka.sessionTimeout = .seconds(2)
    configuration.kafka.revokeDeadline = .milliseconds(900)
    configuration.clickhouse.requestTimeout = .seconds(2)
  }

  /// One that lets sessions be as short as these tests want them.
  static func broker(_ version: String) async throws -> KafkaBroker {
    var options = KafkaBroker.Options()
    options.properties = ["group.min.session.timeout.ms": "500"]
    return try await KafkaBroker.start(version: version, options)
  }

  func close() async {
    await ledger.close()
    clickhouse.close()
  }

  func pipeline() throws -> Pipeline { try Pipeline(configuration) }

  func say(_ statement: String) async throws { _ = try await clickhouse.queryText(statement) }

  /// The numbers that a query answers with.
  func numbers(_ query: String) async throws -> [Int] {
    let text = try await clickhouse.queryText("\(query) FORMAT TabSeparated")
    return text.split { $0 == "\t" || $0 == "\n" }.compactMap { Int($0) }
  }

  /// Rows, and how many different offsets they are of.
  func rows(where condition: String = "1") async throws -> [Int] {
    try await numbers("SELECT count(), uniqExact(_offset) FROM \(name) WHERE \(condition)")
  }

  func runToTheEnd() async throws {
    try await withSink(configuration) { sink in
      try await sink.waitForAll(of: ledger)
      #expect(await sink.stop() == nil)
    }
  }

  /// Runs until so many partitions stand still; returns why.
  func runIntoStops(_ count: Int = 1) async throws -> [String] {
    try await withSink(configuration) { sink in
      try await sink.wait("\(count) alarms") { $0.alarms.count >= count }
      return sink.status.alarms.sorted { $0.table < $1.table }.map { "\($0.table): \($0.message)" }
    }
  }

  /// Commits from outside, for partitions from 0 on.
  func write(_ commits: [(offset: Int64, metadata: String)]) async throws {
    try await pipeline().waitForEmptyGroup(within: .patience)
    let offsets = commits.enumerated().map { index, commit in
      CommittedOffset(TopicPartition(name, Int32(index)), offset: commit.offset, metadata: commit.metadata)
    }
    let written = try await admin.alterCommittedOffsets(group: name, offsets, within: .patience)
    #expect(written.count == offsets.count && written.allSatisfy { $0.error == nil }, "\(written)")
  }

  /// As a commit names a block that was declared just now.
  static func pending(_ offsets: ClosedRange<Int64>, rows: Int, token: Character = "5") -> String {
    func spell(_ number: Int64) -> String { String(number, radix: 32) }
    let last = offsets.upperBound - offsets.lowerBound
    return "\(spell(last)):\(spell(Int64(rows))):\(spell(Int64(Date().timeIntervalSince1970))):"
      + String(repeating: token, count: 26)
  }

  func held(_ partition: Int32 = 0) async throws -> PartitionOffsets {
    let all = try await pipeline().offsets().partitions
    return try #require(all.first { $0.partition.partition == partition })
  }

  func plan(_ choice: Recovery.Choice? = nil, _ partition: Int32? = nil) async throws -> OffsetPlan {
    let pipeline = try pipeline()
    try await pipeline.waitForEmptyGroup(within: .patience)
    let selection = partition.map { PartitionSelection(topic: name, partitions: [$0]) } ?? .all
    return try await pipeline.plan(Recovery(choice, of: selection))
  }

  @discardableResult
  func recover(_ choice: Recovery.Choice? = nil, _ partition: Int32? = nil) async throws -> OffsetPlan {
    let plan = try await plan(choice, partition)
    try await pipeline().apply(plan)
    return plan
  }
}
