import ClickHouseClient
import KafkaClient
import KafkaTestKit
import Pipeline
import TestServers
import Testing

/// What most tests begin with: a topic on the shared mock cluster, a table of the same name, and the ledger of what is
/// produced for them.
final class TestSite: Sendable {
  let name: String
  let servers: SharedServers
  let clickhouse: ClickHouseClient
  let ledger: RecordLedger
  private let url: String
  private let partitions: Int32
  private let deadLetters: DeadLetterPolicy

  /// - Parameters:
  ///   - window: so many inserts are known by their tokens; the tables of the engine know none without.
  ///   - deadLetters: the topic or the table that it names is made too.
  ///   - url: of another server than the shared one.
  init(
    _ name: String, partitions: Int32, window: Int = 0, constraint: Bool = true, deadLetters: DeadLetterPolicy = .stop,
    url: String? = nil
  ) async throws {
    let servers = try SharedServers.required()
    self.name = name
    self.servers = servers
    self.partitions = partitions
    self.deadLetters = deadLetters
    self.url = url ?? servers.url
    ledger = try RecordLedger(brokers: servers.brokers)
    // The last of the properties: what fails from here on ends in deinit.
    clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: self.url))
    try servers.mock.createTopic(name, partitions: Int(partitions))
    try await TestTable.create(name, clickhouse, window: window, constraint: constraint)
    switch deadLetters {
    case .topic(let topic): try servers.mock.createTopic(topic, partitions: 2)
    case .table(let table): try await TestTable.createDeadLetters(table, clickhouse, window: window)
    case .stop, .skip: break
    }
  }

  deinit { clickhouse.close() }

  /// - Parameter url: another way to the server.
  func configuration(via url: String? = nil, maxRows: Int = 200) -> PipelineConfiguration {
    .test(name, brokers: servers.brokers, url: url ?? self.url, deadLetters: deadLetters, maxRows: maxRows)
  }

  func produce(
    _ count: Int, textBytes: Int = 20, fate: (Int) -> RecordLedger.Fate = { _ in .row }
  ) async throws {
    try await ledger.produce(count, to: name, partitions: partitions, textBytes: textBytes, fate: fate)
  }

  /// What is in the topic of the dead letters.
  func deadLetterRecords() async throws -> [Record] {
    guard case .topic(let topic) = deadLetters else { throw HarnessProblem("\(name) has no topic for dead letters") }
    return try await TopicDump.records(of: topic, partitions: 2, brokers: servers.brokers)
  }

  /// Everything that was produced is where it belongs. Nothing more can be produced afterwards.
  /// - Returns: how many offsets are there more than once.
  @discardableResult
  func expectComplete(
    mayDouble: Bool = false, sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> Int {
    await ledger.close()
    var audit = DeliveryAudit()
    try await audit.read(table: name, clickhouse, ledger)
    switch deadLetters {
    case .topic: try audit.read(deadLetters: try await deadLetterRecords())
    case .table(let table): try await audit.read(deadLetterTable: table, clickhouse)
    case .stop, .skip: break
    }
    return audit.expectComplete(ledger, mayDouble: mayDouble, sourceLocation: sourceLocation)
  }
}
