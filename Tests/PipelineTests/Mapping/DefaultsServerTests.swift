import ClickHouseClient
import SinkTelemetry
import TestServers
import Testing

@testable import Pipeline

/// What a column gets whose field is absent, on the oldest and the newest server that there is to try.
@Suite(.serialized) struct DefaultsServerTests {
  /// Constants of every kind, which we write, and columns that no insert may name.
  static let literals = """
    id UInt64, name String, level UInt8 DEFAULT 7, tag LowCardinality(String) DEFAULT 'it''s', kind Enum8('a' = 1, 'b' = 2) \
    DEFAULT 'b', price Decimal(9, 2) DEFAULT 1.5, since Date DEFAULT '2026-01-02', at DateTime('UTC') DEFAULT 1795514400, \
    note Nullable(String) DEFAULT 'nothing', list Array(UInt8) DEFAULT [], plain Nullable(Int32), \
    day Date MATERIALIZED since + 1, upper String ALIAS upper(name)
    """
  static let records = [
    #"{"id":1,"name":"ada"}"#,
    #"{"id":2,"name":"bob","level":1,"tag":"t","kind":"a","price":2,"since":"2026-02-03","at":0,"note":null,"list":[1],"plain":5}"#,
  ]
  static let shown = """
    1\tada\t7\tit's\tb\t1.50\t2026-01-02\t1795514400\tnothing\t[]\t-\t2026-01-03\tADA
    2\tbob\t1\tt\ta\t2.00\t2026-02-03\t0\t-\t[1]\t5\t2026-02-04\tBOB\n
    """
  static let query = """
    SELECT id, name, level, tag, kind, toString(toDecimal32(price, 2)), since, toUInt32(at), ifNull(note, '-'), list, \
    ifNull(toString(plain), '-'), day, upper FROM literals ORDER BY id FORMAT TSVRaw
    """

  @Test(.enabled(if: TestMachine.hasFront, "chdb-core is not installed: run scripts/test"), .timeLimit(.minutes(10)))
  func aServerOfToday() async throws {
    let (front, url) = try await TestMachine.startFront()
    defer { front.stop() }
    let client = try ClickHouseClient(ClickHouseConfiguration(url: url))
    defer { client.close() }
    try await literals(client, shown: Self.shown.replacing("1.50", with: "1.5").replacing("2.00", with: "2"))

    let columns = """
      id UInt64, name String, level UInt8 DEFAULT id + 1, small UInt8 DEFAULT 300, label String DEFAULT concat(name, '-', \
      toString(level)), tag LowCardinality(String) DEFAULT upper(name), seen DateTime('UTC') DEFAULT now(), \
      code FixedString(2) DEFAULT substring(name, 1, 2), uuid UUID DEFAULT generateUUIDv4(), input String EPHEMERAL 'x'
      """
    try await insert(
      client, "expressions", columns,
      [#"{"id":1,"name":"ada"}"#, #"{"id":2,"name":"bob","level":9,"small":5,"label":"l","tag":"t","code":"zz"}"#])
    let text = try await client.queryText(
      """
      SELECT id, level, small, label, tag, code, seen > toDateTime('2020-01-01'), notEmpty(uuid) FROM expressions \
      ORDER BY id FORMAT TSVRaw
      """)
    #expect(text == "1\t2\t44\tada-2\tADA\tad\t1\t1\n2\t9\t5\tl\tt\tzz\t1\t1\n")
    try await refused(client, "lists", "id UInt64, list Array(UInt8) DEFAULT range(3)", "cannot say for one row")
    try await refused(client, "nulls", "id UInt64, n Nullable(String) DEFAULT toString(id)", "cannot say for one row")
    let plan = try await resolve(client, "expressions").plan
    #expect(plan.times == .wide)
    try await zones(client)
    try await epochs(client)
  }

  /// However a DEFAULT is written, a row of ours without the field is like one of the server's own.
  private func epochs(_ client: ClickHouseClient) async throws {
    let defaults = [
      "DateTime64(3, 'UTC') DEFAULT 1700000000000", "DateTime64(6, 'UTC') DEFAULT 1700000000000",
      "DateTime64(3, 'UTC') DEFAULT '1700000000000'", "DateTime64(3, 'UTC') DEFAULT 1700000000",
      "DateTime64(3, 'UTC') DEFAULT 1700000000.5", "DateTime64(3, 'UTC') DEFAULT '1700000000.5'",
      "DateTime64(3, 'UTC') DEFAULT -5", "DateTime64(3, 'UTC') DEFAULT 20260102",
      "DateTime64(3, 'UTC') DEFAULT '20260102'", "DateTime64(3, 'UTC') DEFAULT '2026-01-02'",
      "DateTime('UTC') DEFAULT 1700000000000", "DateTime('UTC') DEFAULT '1700000000000'",
      "DateTime('UTC') DEFAULT 1700000000.7", "Date DEFAULT 19000", "Date DEFAULT 70000", "Date DEFAULT 1700000000",
      "Date32 DEFAULT 19000", "Date32 DEFAULT 1700000000",
    ]
    let columns = defaults.enumerated().map { "c\($0) \($1)" }.joined(separator: ", ")
    _ = try await client.queryText("CREATE TABLE epochs (id UInt64, \(columns)) ENGINE = MergeTree ORDER BY id")
    _ = try await client.queryText("INSERT INTO epochs (id) VALUES (0)")
    try await insert(client, "epochs", nil, [#"{"id":1}"#])
    for (index, text) in defaults.enumerated() {
      let both = try await client.queryText("SELECT c\(index) FROM epochs ORDER BY id FORMAT TSVRaw")
      let rows = both.split(separator: "\n")
      #expect(rows.count == 2 && rows[0] == rows[1], "\(text): the server's row and ours: \(rows)")
    }
  }

  @Test(
    .enabled(if: ClickHouseServer.program != nil, "Debian's clickhouse-server is not installed"),
    .timeLimit(.minutes(10)))
  func aServerOf2018() async throws {
    let server = try await ClickHouseServer.start()
    defer { server.stop() }
    let client = try ClickHouseClient(ClickHouseConfiguration(url: server.url))
    defer { client.close() }
    try await literals(client, shown: Self.shown)
    try await refused(
      client, "expressions", "id UInt64, seen DateTime DEFAULT now()",
      "column seen: has the DEFAULT now(), which only the server can compute")
    // As the message says: left to the server, it is filled in.
    let seen = MappingConfiguration(columns: [MappingConfiguration.Column("seen", path: nil)])
    try await insert(client, "expressions", nil, [#"{"id":1}"#], seen)
    let text = try await client.queryText(
      "SELECT id, seen > toDateTime('2020-01-01 00:00:00') FROM expressions FORMAT TSVRaw")
    #expect(text == "1\t1\n")
    let plan = try await resolve(client, "literals").plan
    #expect(plan.times == .narrow)
    try await zones(client)
  }

  private func literals(_ client: ClickHouseClient, shown: String) async throws {
    try await insert(client, "literals", Self.literals, Self.records)
    let text = try await client.queryText(Self.query)
    #expect(text == shown)
  }

  /// The server's own zone is known to it as to us.
  private func zones(_ client: ClickHouseClient) async throws {
    let berlin = try await ZoneReader(client: client).read("Europe/Berlin")
    let year = stride(from: Int64(1_767_225_600), to: 1_798_761_600, by: 1800)
    let wrong = year.filter { berlin.utcSeconds(local: $0) != TestPlan.berlin.utcSeconds(local: $0) }
    #expect(wrong.isEmpty)
    // A summer long ago, and a zone of half hours.
    #expect(berlin.utcSeconds(local: 457_617_600) == 457_617_600 - 7200)
    let adelaide = try await ZoneReader(client: client).read("Australia/Adelaide")
    #expect(adelaide.utcSeconds(local: 1_767_225_600) == 1_767_225_600 - 37_800)
  }

  private func refused(
    _ client: ClickHouseClient, _ table: String, _ columns: String, _ words: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    _ = try await client.queryText("CREATE TABLE \(table) (\(columns)) ENGINE = MergeTree ORDER BY id")
    do {
      _ = try await resolve(client, table)
      Issue.record("the route was taken", sourceLocation: sourceLocation)
    } catch {
      let details = error.details.joined(separator: "\n")
      #expect(details.contains(words) && details.contains("map the column to null"), sourceLocation: sourceLocation)
    }
  }

  private func resolve(
    _ client: ClickHouseClient, _ table: String, _ mapping: MappingConfiguration = MappingConfiguration()
  ) async throws(PipelineError) -> ResolvedRoute {
    let route = RouteConfiguration(topics: ["t"], table: table, mapping: mapping)
    let reader = SchemaReader(client: client, logger: Logger(source: "test"))
    return try await reader.resolve([route]).routes[0]
  }

  private func insert(
    _ client: ClickHouseClient, _ table: String, _ columns: String?, _ records: [String],
    _ mapping: MappingConfiguration = MappingConfiguration()
  ) async throws {
    if let columns {
      _ = try await client.queryText("CREATE TABLE \(table) (\(columns)) ENGINE = MergeTree ORDER BY id")
    }
    let plan = try await resolve(client, table, mapping).plan
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    for record in records {
      guard case .row = decoder.append(record, to: &block) else { throw ServerProblem(message: "refused: \(record)") }
    }
    let outcome = await client.insert(block, into: try TableName(table), settings: plan.requiredSettings)
    guard case .accepted = outcome else { throw ServerProblem(message: "\(outcome)") }
  }
}
