import ClickHouseClient
import KafkaClient
import Testing

/// Where the records of a ledger are now, offset by offset.
struct DeliveryAudit {
  typealias Place = RecordLedger.Place

  /// Offsets with a row, and how many.
  private(set) var rows: [Place: Int] = [:]
  /// Offsets with a dead letter, and how many.
  private(set) var deadLetters: [Place: Int] = [:]
  /// Rows that hold something else than the ledger says, in words.
  private(set) var wrong: [String] = []

  /// Adds the rows of a table of `TestTable`.
  mutating func read(table: String, _ clickhouse: ClickHouseClient, _ ledger: RecordLedger) async throws {
    let text = try await clickhouse.queryText(
      """
      SELECT _topic, _partition, _offset, id, checksum,
        text = concat(substring(text, 2), substring('abcdefghijklmnopqrstuvwxyz', id % 26 + 1, 1))
      FROM \(table) FORMAT TabSeparated
      """)
    let entries = ledger.entries
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: "\t")
      guard fields.count == 6, let partition = Int32(fields[1]), let offset = Int64(fields[2]) else {
        throw HarnessProblem("cannot read the row '\(line)'")
      }
      let place = Place(topic: String(fields[0]), partition: partition, offset: offset)
      rows[place, default: 0] += 1
      guard let entry = entries[place] else {
        wrong.append("\(place) was never produced")
        continue
      }
      if fields[3] != "\(entry.id)" || fields[4] != "\(entry.checksum)" || fields[5] != "1" {
        wrong.append("\(place) holds \(line)")
      }
    }
  }

  mutating func read(deadLetterTable table: String, _ clickhouse: ClickHouseClient) async throws {
    let text = try await clickhouse.queryText("SELECT _topic, _partition, _offset FROM \(table) FORMAT TabSeparated")
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: "\t")
      guard fields.count == 3, let partition = Int32(fields[1]), let offset = Int64(fields[2]) else {
        throw HarnessProblem("cannot read the dead letter '\(line)'")
      }
      deadLetters[Place(topic: String(fields[0]), partition: partition, offset: offset), default: 0] += 1
    }
  }

  mutating func read(deadLetters records: [Record]) throws {
    for record in records {
      guard let topic = record.text("sinkctl.topic"),
        let partition = record.text("sinkctl.partition").flatMap(Int32.init),
        let offset = record.text("sinkctl.offset").flatMap(Int64.init)
      else { throw HarnessProblem("a dead letter without its origin: \(record.headers.map(\.name))") }
      deadLetters[Place(topic: topic, partition: partition, offset: offset), default: 0] += 1
    }
  }

  /// Whether every offset is there, somewhere.
  func covers(_ ledger: RecordLedger) -> Bool {
    ledger.entries.allSatisfy { $0.value.fate == .tombstone || rows[$0.key] != nil || deadLetters[$0.key] != nil }
  }

  /// Everything is where it belongs, nothing is missing, and nothing is there that was not produced.
  /// - Parameter mayDouble: where at least once allows it, offsets may be there more than once.
  /// - Returns: how many offsets are there more than once.
  @discardableResult
  func expectComplete(
    _ ledger: RecordLedger, mayDouble: Bool = false, sourceLocation: SourceLocation = #_sourceLocation
  ) -> Int {
    var problems: [String] = wrong
    var doubled = 0
    let entries = ledger.entries
    for (place, entry) in entries.sorted(by: { $0.key < $1.key }) {
      let (rows, letters) = (rows[place] ?? 0, deadLetters[place] ?? 0)
      let (wantsRow, wantsLetter) = (entry.fate == .row, entry.fate == .bad || entry.fate == .refused)
      if (rows > 0) != wantsRow || (letters > 0) != wantsLetter {
        problems.append("\(place), \(entry.fate): \(rows) rows, \(letters) dead letters")
      }
      if rows > 1 || letters > 1 { doubled += 1 }
    }
    for place in deadLetters.keys where entries[place] == nil { problems.append("\(place): a dead letter of nothing") }
    let isComplete = problems.isEmpty
    #expect(
      isComplete, "\(problems.count) of \(entries.count) offsets: \(problems.prefix(8))",
      sourceLocation: sourceLocation)
    if !mayDouble {
      #expect(doubled == 0, "\(doubled) offsets are there more than once", sourceLocation: sourceLocation)
    }
    return doubled
  }
}

extension Record {
  /// A header as text; nil where it is not there.
  func text(_ header: String) -> String? {
    headers.first { $0.name == header }?.value.map { String(decoding: $0, as: UTF8.self) }
  }
}

/// The table that records of a ledger go to.
enum TestTable {
  static let columns = """
    id UInt64, kind LowCardinality(String), level UInt8, checksum UInt64, text String, \
    _topic String, _partition Int32, _offset Int64
    """

  /// - Parameter window: so many inserts are known by their tokens: a repeated one stores nothing.
  static func create(
    _ name: String, _ clickhouse: ClickHouseClient, window: Int = 0, constraint: Bool = true
  ) async throws {
    let check = constraint ? ", CONSTRAINT fine CHECK kind != 'refused'" : ""
    let settings = window > 0 ? " SETTINGS non_replicated_deduplication_window = \(window)" : ""
    _ = try await clickhouse.queryText(
      "CREATE TABLE \(name) (\(columns)\(check)) ENGINE = MergeTree ORDER BY (_topic, _partition, _offset)\(settings)")
  }

  static let deadLetterColumns = """
    _topic String, _partition Int32, _offset Int64, _timestamp DateTime64(3, 'UTC'), _key Nullable(String),
    _value Nullable(String), _headers Map(String, String), table String, reason LowCardinality(String), message String,
    column Nullable(String), expected_type Nullable(String), value Nullable(String)
    """

  static func createDeadLetters(_ name: String, _ clickhouse: ClickHouseClient, window: Int = 0) async throws {
    let settings = window > 0 ? " SETTINGS non_replicated_deduplication_window = \(window)" : ""
    _ = try await clickhouse.queryText(
      "CREATE TABLE \(name) (\(deadLetterColumns)) ENGINE = MergeTree "
        + "ORDER BY (_topic, _partition, _offset)\(settings)")
  }
}
