import ClickHouseClient
import ClickHouseTestKit
import TestServers
import Testing

/// Against the real servers of this machine, one test at a time.
@Suite(.serialized, .realServers, .enabled(if: !RealServer.here.isEmpty, RealServer.hint), .timeLimit(.minutes(10)))
struct ServerTests {
  /// What we write, the server shows as text and sends back as Native; a column of two blocks, the second after a
  /// rollback.
  @Test(arguments: RealServer.here) func everyTypeIsStoredAsItIsMeant(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    if server == .new { _ = try await client.queryText("SET allow_suspicious_low_cardinality_types = 1") }
    for (index, kind) in TypeCase.all.enumerated() where server == .new || !kind.isNew {
      let table = "type_\(index)"
      _ = try await client.queryText("CREATE TABLE \(table) (n UInt32, v \(kind.type)) ENGINE = Memory")
      var block = try await client.emptyBlock(for: table)
      for (row, (value, _)) in kind.values.enumerated() {
        try block.appendRow(["n": .uint(UInt64(row)), "v": value])
        // A row that turns out bad on the way leaves no trace.
        #expect(throws: ClickHouseError.self, "\(kind)") { try block.appendRow(["v": value, "n": "not a number"]) }
      }
      try await accept(client.insert(block), "\(kind)")
      let text = try await client.queryText("SELECT v FROM \(table) ORDER BY n")
      let shown = kind.values.map { $0.text.replacing("'", with: kind.type.hasPrefix("Enum") ? "\\'" : "'") }
      #expect(text == shown.joined(separator: "\n") + "\n", "\(kind)")
      var values: [ClickHouseValue] = []
      for try await row in client.query("SELECT v FROM \(table) ORDER BY n") { values += row.values }
      #expect(values == kind.values.map(\.value), "\(kind)")
    }
  }

  @Test(arguments: RealServer.here) func everyCompressionArrives(server: RealServer) async throws {
    let rows = 20_000
    var compressions = [BlockCompression.none, .lz4, .zstd(level: 3), .gzip(level: 1)]
    // Newer than 18.16.
    if server == .new { compressions.append(.zstdStream(level: 3)) }
    for (index, compression) in compressions.enumerated() {
      let client = try server.client { $0.compression = compression }
      defer { client.close() }
      let table = "compression_\(index)"
      _ = try await client.queryText("CREATE TABLE \(table) (id UInt64, text String) ENGINE = Memory")
      var block = try await client.emptyBlock(for: table)
      for row in 0..<rows {
        // About a megabyte: several frames in one body.
        let text = "row \(row) of many, " + String(UInt64(row) &* 0x9E37_79B9_7F4A_7C15, radix: 36)
        try block.appendRow(["id": .uint(UInt64(row)), "text": .string(text + String(repeating: "·", count: row % 8))])
      }
      try await accept(client.insert(block), "\(compression)")
      let sums = "count(), sum(id), min(startsWith(text, concat('row ', toString(id), ' of')))"
      #expect(
        try await client.queryText("SELECT \(sums) FROM \(table)") == "\(rows)\t\(rows * (rows - 1) / 2)\t1\n",
        "\(compression)")
    }
  }

  /// More keys than two bytes can number; the numbers grow twice on the way.
  @Test(arguments: RealServer.here) func aLargeDictionaryArrives(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    _ = try await client.queryText("CREATE TABLE keys (id UInt64, v LowCardinality(String)) ENGINE = Memory")
    var block = try await client.emptyBlock(for: "keys")
    let rows = 70_000
    for row in 0..<rows { try block.appendRow(["id": .uint(UInt64(row)), "v": .string("key \(row)")]) }
    try await accept(client.insert(block), "70,000 keys")
    let sums = "count(), uniqExact(v), sum(v = concat('key ', toString(id)))"
    #expect(try await client.queryText("SELECT \(sums) FROM keys") == "\(rows)\t\(rows)\t\(rows)\n")
    var found = 0
    for try await row in client.query("SELECT id, v FROM keys") {
      if let id = row["id"]?.integer(as: UInt64.self), row["v"] == .string("key \(id)") { found += 1 }
    }
    #expect(found == rows)
  }

  /// The front has no compressed answers.
  @Test(.enabled(if: ClickHouseServer.program != nil)) func answersAreCompressedWhereThatIsAskedFor() async throws {
    let between = try ScriptedServer(forwardingTo: RealServer.old.url)
    defer { between.stop() }
    var sizes: [Int] = []
    for isCompressed in [false, true] {
      var configuration = ClickHouseConfiguration(url: between.url)
      configuration.compressesAnswers = isCompressed
      let client = try ClickHouseClient(configuration)
      defer { client.close() }
      var count = 0
      for try await row in client.query("SELECT toString(number) AS text FROM system.numbers LIMIT 20000") {
        if row["text"] == .string("\(count)") { count += 1 }
      }
      #expect(count == 20_000)
      sizes.append(between.requests.last?.answerBytes ?? 0)
      #expect(try await client.queryText("SELECT 'x'") == "x\n")
    }
    #expect(sizes[1] * 2 < sizes[0], "\(sizes)")
  }

  @Test(arguments: RealServer.here) func aTableIsDescribed(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    _ = try await client.queryText(
      """
      CREATE TABLE described (
        id UInt64, `odd na``me` String, day Date DEFAULT '2020-01-01', twice UInt64 MATERIALIZED id * 2,
        thrice UInt64 ALIAS id * 3
      ) ENGINE = MergeTree ORDER BY id
      """.replacing("``", with: "\\`"))
    let table = try await client.describe(TableName(database: "default", table: "described"))
    #expect(table.engine == "MergeTree")
    #expect(table.columns.map(\.name) == ["id", "odd na`me", "day", "twice", "thrice"])
    #expect(table.columns.map(\.type) == [.uint64, .string, .date, .uint64, .uint64])
    #expect(table.columns.map(\.defaultKind) == [.none, .none, .default, .materialized, .alias])
    #expect(table.columns[2].defaultExpression.contains("2020-01-01"))
    #expect(table.insertable.map(\.name) == ["id", "odd na`me", "day"])
    var block = try await client.emptyBlock(for: "described")
    try block.appendRow(["id": 5, "odd na`me": "x", "day": .date(days: 1)])
    try await accept(client.insert(block), "quoted names")
    #expect(try await client.queryText("SELECT `odd na\\`me`, twice, thrice FROM described") == "x\t10\t15\n")
    let error = await #expect(throws: ClickHouseError.self) { try await client.describe(TableName("is_not_there")) }
    #expect(error?.serverCode == 60 && error?.reaction == .pauseAndAlarm)
  }

  /// A type that cannot be written is an error at start that names column and type.
  @Test(arguments: RealServer.here) func aTypeThatCannotBeWrittenIsRefusedAtStart(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    let type = "AggregateFunction(sum, UInt64)"
    _ = try await client.queryText("CREATE TABLE states (id UInt64, total \(type)) ENGINE = Memory")
    do throws(ClickHouseError) {
      _ = try await client.emptyBlock(for: "states").rows
      Issue.record("a block with a column of \(type)")
    } catch {
      #expect(error.code == .unsupportedType)
      #expect(error.message.contains("\"total\"") && error.message.contains(type), "\(error)")
    }
  }

  @Test(arguments: RealServer.here) func theServersRefusalsAreTold(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    let block = try Scripted.block()
    let missing = await client.insert(block, into: TableName(table: "nowhere"))
    #expect(Told(missing) == .rejected(60), "\(missing)")
    _ = try await client.queryText("CREATE TABLE narrow (id UInt64) ENGINE = Memory")
    let changed = await client.insert(block, into: TableName(table: "narrow"))
    #expect(Told(changed) == .rejected(16), "\(changed)")
    try await client.ping()
    let version = try await client.serverVersion()
    #expect(server == .old ? version.major == 18 : version.major >= 26)
  }

  /// The table has the rows of a block that a view behind it refuses: not a rejection.
  @Test(arguments: RealServer.here) func aViewThatFailsLeavesTheOutcomeOpen(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    for statement in [
      "CREATE TABLE seen (id UInt64) ENGINE = MergeTree ORDER BY id",
      "CREATE MATERIALIZED VIEW seen_view ENGINE = Memory AS SELECT intDiv(1, id) AS x FROM seen",
    ] { _ = try await client.queryText(statement) }
    var block = try await client.emptyBlock(for: "seen")
    for id in 0..<2 { try block.appendRow(["id": .int(Int64(id))]) }
    let outcome = await client.insert(block)
    #expect(Told(outcome) == .unknown(153), "\(outcome)")
    #expect(outcome.error?.code == .partial && outcome.error?.reaction == .pauseAndAlarm)
  }

  private func accept(_ outcome: InsertOutcome, _ what: String) async throws {
    if case .accepted = outcome { return }
    Issue.record("\(what): \(outcome)")
  }
}

/// Rows of queries from the real servers.
extension ServerTests {
  @Test(arguments: RealServer.here) func rowsAreStreamed(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    var (count, sum) = (0, UInt64(0))
    for try await row in client.query("SELECT number, toString(number) AS text FROM system.numbers LIMIT 100000") {
      count += 1
      sum += row["number"]?.integer(as: UInt64.self) ?? 0
      if count % 25_000 == 0 { #expect(row["text"]?.string == "\(count - 1)" && row["other"] == nil) }
    }
    #expect(count == 100_000 && sum == 100_000 * 99_999 / 2)
  }

  @Test(arguments: RealServer.here) func anErrorBeforeTheFirstRowIsThrown(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    let error = await #expect(throws: ClickHouseError.self) {
      for try await _ in client.query("SELECT * FROM nowhere_at_all") {}
    }
    #expect(error?.serverCode == 60)
  }

  /// The front answers when a statement is done, so it has no middle.
  @Test(.enabled(if: ClickHouseServer.program != nil)) func anErrorAfterRowsIsThrownAfterThem() async throws {
    let client = try RealServer.old.client()
    defer { client.close() }
    var count = 0
    var failure: ClickHouseError?
    do throws(ClickHouseError) {
      let sql = "SELECT number, intDiv(1, toInt64(number) - 250000) FROM system.numbers LIMIT 300000"
      for try await _ in client.query(sql, settings: [("max_threads", "1"), ("max_block_size", "8192")]) { count += 1 }
    } catch {
      failure = error
    }
    #expect(failure?.serverCode == 153, "\(String(describing: failure))")
    #expect(count > 0 && count < 250_001, "\(count) rows")
  }

  @Test(arguments: RealServer.here) func aLoopThatEndsEarlyEndsTheRequest(server: RealServer) async throws {
    let client = try server.client { $0.requestsInFlight = 1 }
    defer { client.close() }
    for try await row in client.query("SELECT number FROM system.numbers LIMIT 2000000") {
      if row["number"] == .uint(10) { break }
    }
    // Its place is free again.
    #expect(try await client.queryText("SELECT 1") == "1\n")
  }

  /// 18.16 has no parameters.
  @Test(.enabled(if: TestMachine.hasFront)) func parametersArriveAsTheyAre() async throws {
    let client = try RealServer.new.client()
    defer { client.close() }
    let texts = [
      "", "plain", "tab\tnew\nline\r", "back\\slash \\n \\N", "quote ' \" `", "100% & = ? #", "世界 🌍", "{x:String}",
    ]
    for text in texts {
      for try await row in client.query("SELECT {text:String} AS text", parameters: ["text": text]) {
        #expect(row["text"] == .string(text))
      }
    }
    let sql = "SELECT {n:UInt64} + 1 AS n, {list:Array(String)} AS list, {none:Nullable(String)} AS none"
    for try await row in client.query(sql, parameters: ["n": "5", "list": "['a\tb','c']", "none": nil]) {
      #expect(row["n"] == .uint(6) && row["list"] == .array(["a\tb", "c"]) && row["none"] == .null, "\(row.values)")
    }
    #expect(try await client.queryText("SELECT {a:Int8}", parameters: ["a": "-5"]) == "-5\n")
  }
}
