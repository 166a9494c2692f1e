import SinkBytes
import TestServers
import Testing

@testable import ClickHouseClient
@testable import Pipeline

/// docs/CONVERSIONS.md beside the engine of a ClickHouse of today: what its own JSONEachRow does with each cell, and what it
/// shows of what we have stored.
@Suite(.serialized, .enabled(if: TestMachine.hasFront, "chdb-core is not installed: run scripts/test"))
struct ConversionServerTests {
  @Test(.timeLimit(.minutes(10))) func theTableSaysWhereJSONEachRowDiffers() async throws {
    let (front, url) = try await TestMachine.startFront()
    defer { front.stop() }
    let client = try ClickHouseClient(ClickHouseConfiguration(url: url))
    defer { client.close() }
    for cell in try ConversionTable().cells {
      let sql =
        "SELECT \(Self.shown("c", cell.type)) FROM format(JSONEachRow, \(TableName.literal("c " + cell.type)), "
        + "\(TableName.literal(cell.record))) FORMAT TSVRaw"
      var theirs: String?
      do throws(ClickHouseError) {
        let answer = try await client.queryText(sql)
        theirs = answer.hasSuffix("\n") ? String(answer.dropLast()) : answer
      } catch {
        try #require(error.code == .server, "\(error.message)")
      }
      let isSame =
        theirs.map { cell.outcome == .stored($0) } ?? { if case .refused = cell.outcome { true } else { false } }()
      #expect(
        isSame || !cell.difference.isEmpty,
        "\(cell.description): the table has \(cell.outcome), they \(theirs ?? "refuse")")
    }
  }

  /// One row with every value that the table takes, sent as Native, read back as text.
  @Test(.timeLimit(.minutes(10))) func whatWeStoreIsWhatTheTableSays() async throws {
    let (front, url) = try await TestMachine.startFront()
    defer { front.stop() }
    let client = try ClickHouseClient(ClickHouseConfiguration(url: url))
    defer { client.close() }
    var cells: [(json: String, type: String, text: String)] = []
    for cell in try ConversionTable().cells {
      if let json = cell.json, case .stored(let text) = cell.outcome { cells.append((json, cell.type, text)) }
    }
    let columns = cells.enumerated().map { "c\($0.offset) \($0.element.type)" }.joined(separator: ", ")
    _ = try await client.queryText("CREATE TABLE conversions (\(columns)) ENGINE = MergeTree ORDER BY tuple()")
    let plan = try TestPlan.make(
      cells.enumerated().map { ("c\($0.offset)", $0.element.type) },
      zones: ["UTC": .utc, "Europe/Berlin": try await ZoneReader(client: client).read("Europe/Berlin")])
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    let record = cells.enumerated().map { "\"c\($0.offset)\":\($0.element.json)" }.joined(separator: ",")
    guard case .row = decoder.append("{\(record)}", to: &block) else {
      throw ServerProblem(message: "the row was refused")
    }
    let outcome = await client.insert(block, into: try TableName("conversions"))
    guard case .accepted = outcome else { throw ServerProblem(message: "\(outcome)") }
    let shown = cells.enumerated().map { Self.shown("c\($0.offset)", $0.element.type) }.joined(separator: ", ")
    let row = try await client.queryText("SELECT \(shown) FROM conversions FORMAT TSVRaw")
    let back = row.dropLast().split(separator: "\t", omittingEmptySubsequences: false)
    try #require(back.count == cells.count)
    for (cell, text) in zip(cells, back) { #expect(text == cell.text, "\(cell.json) into \(cell.type)") }
  }

  private static func shown(_ column: String, _ type: String) -> String {
    let value =
      type.contains("DateTime") && !type.contains("(DateTime") || type.hasPrefix("Nullable(DateTime")
      ? "toTimeZone(\(column), 'UTC')" : column
    return "ifNull(toString(\(value)), 'NULL')"
  }
}
