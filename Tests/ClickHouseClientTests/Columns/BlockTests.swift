import ClickHouseClient
import Testing

/// Blocks as they grow, lose rows and are cut.
@Suite struct BlockTests {
  private func values(_ block: borrowing Block, _ row: Int) -> [ClickHouseValue] {
    var values: [ClickHouseValue] = []
    for column in 0..<block.columnCount { values.append(block.value(row: row, column: column)) }
    return values
  }

  /// Rows of all types, with bad ones between them; the block is then cut anywhere, and each part holds its rows.
  @Test(arguments: 0..<UInt64(30)) func partsHoldTheirRows(seed: UInt64) throws {
    var generator = Seeded(state: seed)
    let kinds = TypeCase.all
    var block = try Block(columns: kinds.enumerated().map { ("c\($0)", try ColumnType.parse($1.type)) })
    var model: [[ClickHouseValue]] = []
    for _ in 0..<Int.random(in: 1...40, using: &generator) {
      let row = kinds.map { $0.values[Int.random(in: 0..<$0.values.count, using: &generator)].value }
      var named = row.enumerated().map { (name: "c\($0)", value: $1) }
      try block.appendRow(named)
      model.append(row)
      // Of a row that fails in any column nothing stays.
      named[Int.random(in: 0..<kinds.count, using: &generator)].value = .tuple([.tuple([.tuple([])])])
      #expect(throws: ClickHouseError.self) { try block.appendRow(named) }
    }
    #expect(block.rows == model.count)
    let (start, end) = (
      Int.random(in: 0...model.count, using: &generator), Int.random(in: 0...model.count, using: &generator)
    )
    let range = min(start, end)..<max(start, end)
    let part = block.slice(rows: range)
    let back = try EncodedBlock(part, compression: .lz4).decode()
    #expect(part.rows == range.count && back.rows == range.count)
    for (index, row) in range.enumerated() {
      #expect(values(part, index) == model[row], "seed \(seed), row \(row)")
      #expect(values(back, index) == model[row], "seed \(seed), row \(row), encoded")
    }
    for row in model.indices { #expect(values(block, row) == model[row], "seed \(seed), row \(row), whole") }
    var joined = block.slice(rows: 0..<range.lowerBound)
    joined.append(part)
    joined.append(block.slice(rows: range.upperBound..<model.count))
    let whole = try EncodedBlock(joined, compression: .none).decode()
    for row in model.indices { #expect(values(whole, row) == model[row], "seed \(seed), row \(row), joined") }
    block.removeAll()
    #expect(block.rows == 0)
  }

  @Test func aBlockIsUsedAgain() throws {
    var block = try Block(columns: [("k", .lowCardinality(.string)), ("a", .array(.string))])
    for round in 0..<3 {
      for row in 0..<300 { try block.appendRow(["k": .string("\(round)-\(row)"), "a": .array(["x", "y"])]) }
      let back = try EncodedBlock(block, compression: .none).decode()
      #expect(back.value(row: 299, column: 0) == .string("\(round)-299"))
      block.removeAll()
      #expect(block.rows == 0)
    }
  }

  @Test(arguments: [
    ("Int8", ClickHouseValue.int(128)), ("UInt8", .int(-1)), ("UInt64", .float64(1)), ("Float32", .float64(1e300)),
    ("Float64", .int(.max)), ("Decimal(4, 2)", .decimal(unscaled: 10_000, scale: 2)),
    ("Decimal(4, 2)", .decimal(unscaled: 1, scale: 3)), ("FixedString(2)", "abc"), ("Enum8('a' = 1)", "b"),
    ("Date", .date(days: -1)), ("Date32", .date(days: 200_000)), ("DateTime64(3)", .dateTime64(ticks: 1, precision: 6)),
    ("String", .null), ("Array(Int8)", .array([.null])), ("Tuple(Int8, Int8)", .tuple([1])), ("Bool", 1),
    ("IPv4", "1.2.3.4"),
  ]) func whatDoesNotFitIsRefused(type: String, value: ClickHouseValue) throws {
    var block = try Block(columns: [("v", try ColumnType.parse(type))])
    do throws(ClickHouseError) {
      try block.appendRow([(name: "v", value: value)])
      Issue.record("\(value) in a column of \(type)")
    } catch {
      #expect(error.code == .invalidValue && error.message.contains("\"v\"") && error.message.contains(type))
    }
    #expect(block.rows == 0)
  }

  @Test func namesAreChecked() throws {
    var block = try Block(columns: [("a", .int8), ("b", .nullable(.string))])
    #expect(throws: ClickHouseError.self) { try block.appendRow(["c": 1]) }
    #expect(throws: ClickHouseError.self) { try block.appendRow(["a": 1, "a": 2]) }
    try block.appendRow(["b": "x"])
    #expect(block.value(row: 0, column: 0) == 0, "what is not named takes the type's default")
    #expect(throws: ClickHouseError.self) { _ = try Block(columns: [("a", .int8), ("a", .int8)]).rows }
  }
}

/// A generator whose seed is printed with a failure.
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
