import ClickHouseClient
import SinkThreads
import Testing

@testable import Pipeline

/// What is read out of a table's and a view's statement.
@Suite struct DeliveryTableTests {
  @Test(
    arguments: [
      ("toYYYYMM(now())", "now"), ("cityHash64(rand64(), 1)", "rand64"), ("generateUUIDv4()", "generateUUIDv4"),
      ("dictGetString('d', 's', id)", "dictGetString"), ("TODAY()", "TODAY"), ("unknow(x)", nil), ("now", nil),
      ("brand(id)", nil), ("toDate(at)", nil), ("", nil),
    ] as [(String, String?)])
  func movingFunctions(expression: String, found: String?) {
    #expect(MovingFunction.first(in: expression) == found)
  }

  @Test func theBusiestMinuteOfTheLastHourCounts() {
    func at(_ seconds: Int64) -> MonotonicInstant { MonotonicInstant(nanoseconds: seconds * 1_000_000_000) }
    var rate = TokenRate()
    rate.note(60, in: .seconds(60), at(60))
    #expect(rate.rate == 10, "no less than is assumed")
    rate.note(1800, in: .seconds(60), at(120))
    rate.note(60, in: .seconds(60), at(3700))
    #expect(rate.rate == 30)
    rate.note(720, in: .seconds(60), at(3730))
    #expect(rate.rate == 12, "what is longer ago than an hour is forgotten")
    let window = TokenWindow(table: TableName(table: "t"), tokens: 6000, age: nil)
    #expect(window.horizon(at: 30) == .seconds(200))
    #expect(
      TokenWindow(table: TableName(table: "t"), tokens: 6000, age: .seconds(150)).horizon(at: 30) == .seconds(150))
  }

  @Test func columnsAreWholeWords() {
    #expect(MovingFunction.mentions("at", in: "toDate(at)"))
    #expect(!MovingFunction.mentions("at", in: "toDate(attime)"))
    #expect(!MovingFunction.mentions("at", in: "toDate(_at)"))
    #expect(MovingFunction.mentions("at", in: "(`at`, x)"))
  }

  @Test(
    arguments: [
      ("SELECT id, now() AS seen FROM t", "toDate(at)", nil),
      ("SELECT id, now() AS at FROM t", "toDate(at)", "now"),
      ("SELECT id, now() FROM t", "toDate(at)", "now"),
      ("SELECT id, 'x, now() AS y' AS s, rand() AS `my at` FROM t", "toDate(at)", nil),
      ("SELECT * FROM (SELECT now() AS at FROM t)", "toDate(at)", "now"),
      ("WITH now() AS n SELECT n AS at FROM t", "toDate(at)", "now"),
      ("SELECT id FROM t", "toDate(at)", nil),
    ] as [(String, String, String?)])
  func whatMovesAViewsRows(select: String, key: String, found: String?) {
    #expect(SelectItems.movingFunction(in: select, reaching: key) == found)
  }

  /// As servers show them that have no column for it.
  @Test(
    arguments: [
      ("CREATE MATERIALIZED VIEW d.v TO other.t (`id` UInt64) AS SELECT id FROM d.s", "other", "t"),
      ("CREATE MATERIALIZED VIEW d.`v TO x` TO d.`t (1)` (`id` UInt64) AS SELECT id FROM d.s", "d", "t (1)"),
      (
        "CREATE MATERIALIZED VIEW d.v (`id` UInt64) ENGINE = MergeTree ORDER BY id AS SELECT id FROM d.s", "d",
        ".inner_id.7-1"
      ),
      ("CREATE MATERIALIZED VIEW d.v UUID '7-1' TO t (`id` UInt64) AS SELECT id", "d", "t"),
    ])
  func whereAViewWritesTo(create: String, database: String, table: String) {
    let found = TableFacts.target(ofView: "v", in: "d", id: "7-1", create: create)
    #expect(found == TableName(database: database, table: table))
    #expect(
      TableFacts.target(ofView: "v", in: "d", id: "0-0", create: "CREATE MATERIALIZED VIEW d.v (`id` UInt8) AS")
        == TableName(database: "d", table: ".inner.v"))
  }
}
