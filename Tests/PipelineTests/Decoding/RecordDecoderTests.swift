import ClickHouseClient
import TestServers
import Testing

@testable import Pipeline

/// Streams of records, good and bad, in any order of fields.
@Suite struct RecordDecoderTests {
  /// A column, and values for it: as JSON, and as ClickHouse shows them.
  struct Field {
    let name: String
    let type: String
    let values: [(json: String, shown: String)]
  }

  static let fields = [
    Field(
      name: "id", type: "UInt64",
      values: [("7", "7"), ("18446744073709551615", "18446744073709551615"), ("1e2", "100")]),
    Field(name: "a", type: "Int8", values: [("-1", "-1"), ("\"5\"", "5")]),
    Field(
      name: "name", type: "String",
      values: [
        (#""x""#, "x"), (#""ä\n€""#, "ä\n€"),
        (#""a long text of more than sixteen bytes""#, "a long text of more than sixteen bytes"), (#""""#, ""),
      ]),
    Field(name: "note", type: "Nullable(String)", values: [("null", "NULL"), (#""n""#, "n")]),
    Field(name: "tag", type: "LowCardinality(String)", values: [(#""t1""#, "t1"), (#""t2""#, "t2")]),
    Field(name: "maybe", type: "LowCardinality(Nullable(String))", values: [("null", "NULL"), (#""m""#, "m")]),
    Field(name: "list", type: "Array(String)", values: [("[]", "[]"), (#"["p", "q\u0041"]"#, "['p','qA']")]),
    Field(
      name: "deep", type: "Array(Array(Nullable(Int16)))", values: [("[[1,null],[]]", "[[1,NULL],[]]"), ("[]", "[]")]),
    Field(name: "map", type: "Map(String, UInt8)", values: [(#"{"k": 1,"l":2}"#, "{'k':1,'l':2}"), ("{}", "{}")]),
    Field(
      name: "pair", type: "Tuple(x Int8, y Array(String))",
      values: [(#"{"y":["z"],"x":3}"#, "(3,['z'])"), (#"[4,[]]"#, "(4,[])")]),
    Field(name: "price", type: "Decimal(9, 2)", values: [("12.5", "12.5"), ("-0.01", "-0.01")]),
    Field(name: "big", type: "Decimal(38, 3)", values: [("12345678901234567890.125", "12345678901234567890.125")]),
    Field(name: "score", type: "Float64", values: [("0.1", "0.1"), ("-2.5e3", "-2500")]),
    Field(
      name: "at", type: "DateTime64(3, 'UTC')", values: [(#""2026-11-24T10:00:00.123Z""#, "2026-11-24 10:00:00.123")]),
    Field(
      name: "uuid", type: "Nullable(UUID)",
      values: [(#""f2a74de4-269e-4651-aa6a-128b0c5c7fd0""#, "f2a74de4-269e-4651-aa6a-128b0c5c7fd0"), ("null", "NULL")]),
    Field(name: "code", type: "FixedString(3)", values: [(#""abc""#, "abc")]),
    Field(name: "with \"quotes\"", type: "UInt8", values: [("1", "1")]),
    Field(name: "user", type: "String", values: [(#""u""#, "u")]),
    Field(name: "city", type: "Nullable(Int32)", values: [("12", "12")]),
  ]

  /// `user` and `city` lie in objects.
  static let mapping = MappingConfiguration(columns: [
    MappingConfiguration.Column("user", path: "user.name"),
    MappingConfiguration.Column("city", path: #"user.a\.b.code"#),
  ])

  static func plan() throws -> RecordPlan {
    try TestPlan.make(fields.map { ($0.name, $0.type) }, mapping: mapping)
  }

  /// A record with some of the fields in some order, and what the row must show.
  static func record(_ random: inout SeededGenerator) -> (text: String, shown: [String]) {
    func pick(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    func space() -> String { pick(6) == 0 ? [" ", "\n", "\t "][pick(3)] : "" }
    func quoted(_ name: String) -> String {
      let text = name.replacing("\"", with: "\\\"")
      // The same name, spelled with an escape.
      return pick(12) == 0 && !text.contains("\\")
        ? "\"\\u00" + String(text.utf8.first!, radix: 16) + text.dropFirst() + "\"" : "\"\(text)\""
    }
    var shown = [
      "0", "0", "", "NULL", "", "NULL", "[]", "[]", "{}", "(0,[])", "0", "0", "0", "1970-01-01 00:00:00.000", "NULL",
      "\0\0\0", "0", "", "NULL",
    ]
    var parts: [String] = []
    var user: [String] = []
    for (index, field) in fields.enumerated() where pick(4) > 0 {
      let value = field.values[pick(field.values.count)]
      shown[index] = value.shown
      switch field.name {
      case "user": user.append(quoted("name") + space() + ":" + value.json)
      case "city": user.append(quoted("a.b") + ":{" + space() + quoted("code") + ":" + value.json + "}")
      default: parts.append(quoted(field.name) + space() + ":" + space() + value.json)
      }
    }
    if pick(2) == 0 { user.append(#""more":[{"name":1}]"#) }
    if pick(3) == 0 { user.reverse() }
    if !user.isEmpty { parts.append(quoted("user") + ":{" + user.joined(separator: ",") + "}") }
    for _ in 0..<pick(3) { parts.append(#""x\#(pick(3))":{"id":[1,"é",null]}"#) }
    if pick(3) == 0 { parts.shuffle(using: &random) }
    return (space() + "{" + space() + parts.joined(separator: space() + "," + space()) + "}" + space(), shown)
  }

  static func row(_ block: borrowing Block, _ row: Int) -> [String] {
    (0..<block.columnCount).map { column in
      if case .bytes(let bytes) = block.value(row: row, column: column) {
        return String(decoding: bytes, as: UTF8.self)
      }
      return Shown.text(block.value(row: row, column: column))
    }
  }

  @Test(arguments: [UInt64(1), 2, 3]) func anyOrderOfFieldsMakesTheRow(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let plan = try Self.plan()
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    for number in 0..<400 {
      let (text, shown) = Self.record(&random)
      guard case .row = decoder.append(text, to: &block) else {
        Issue.record("seed \(seed), record \(number) was refused: \(text)")
        continue
      }
      let row = Self.row(block, block.rows - 1)
      #expect(row == shown, "seed \(seed), record \(number): \(text)")
    }
  }

  /// A bad record leaves the block as it was: what comes of a stream is what comes of its good records alone.
  @Test(arguments: [UInt64(4), 5, 6]) func badRecordsLeaveNothingBehind(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let plan = try Self.plan()
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    var good: [[UInt8]] = []
    var refused = 0
    for _ in 0..<1500 {
      var bytes = Array(Self.record(&random).text.utf8)
      switch random.next() % 4 {
      case 0: bytes.removeLast(Int(random.next() % UInt64(bytes.count)) + 1)
      case 1: bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      case 2:
        bytes.insert(
          Array("[]{},:\"\\0ntf".utf8).randomElement(using: &random)!, at: Int(random.next() % UInt64(bytes.count)))
      default: break
      }
      let rows = block.rows
      let outcome = unsafe bytes.withUnsafeBytes { unsafe decoder.append(value: $0, to: &block) }
      switch outcome {
      case .row: good.append(bytes)
      case .rejected, .dropped:
        refused += 1
        let left = block.rows
        #expect(left == rows, "seed \(seed)")
      }
    }
    #expect(refused > 400 && good.count > 400, "seed \(seed): \(refused) refused, \(good.count) good")
    var other = RecordDecoder(plan: plan)
    var alone = Block(layout: plan.layout)
    for bytes in good { _ = unsafe bytes.withUnsafeBytes { unsafe other.append(value: $0, to: &alone) } }
    try Self.expectEqual(block, alone, "seed \(seed)")
    // And the block is whole on the wire too.
    try Self.expectEqual(EncodedBlock(block, compression: .none).decode(), alone, "seed \(seed), encoded")
  }

  static func expectEqual(_ block: borrowing Block, _ other: borrowing Block, _ words: String) throws {
    let (rows, wanted) = (block.rows, other.rows)
    try #require(rows == wanted, "\(words)")
    for index in 0..<rows {
      let (row, wanted) = (Self.row(block, index), Self.row(other, index))
      #expect(row == wanted, "\(words), row \(index)")
    }
  }

  /// A record that is cut anywhere is refused and leaves nothing.
  @Test func aRecordCutAnywhereIsRefused() throws {
    let plan = try Self.plan()
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    let values = Self.fields.filter { $0.name != "user" && $0.name != "city" && !$0.name.contains("\"") }.map {
      "\"\($0.name)\":\($0.values[$0.values.count - 1].json)"
    }
    let bytes = Array(("{" + values.joined(separator: ",") + #","user":{"name":"u","a.b":{"code":1}}}"#).utf8)
    for count in 0..<bytes.count {
      let outcome = unsafe bytes[..<count].withUnsafeBytes { unsafe decoder.append(value: $0, to: &block) }
      guard case .rejected(let rejection) = outcome else {
        Issue.record("a record cut at \(count) became a row")
        continue
      }
      #expect([.invalidJSON, .invalidUTF8].contains(rejection.reason), "cut at \(count): \(rejection.message)")
    }
    guard case .row = unsafe bytes.withUnsafeBytes({ unsafe decoder.append(value: $0, to: &block) }) else {
      Issue.record("the whole record was refused")
      return
    }
    let rows = block.rows
    #expect(rows == 1)
  }

  @Test func unknownFieldsAreIgnoredCountedOrRefused() throws {
    let text = #"{"id":1,"more":[1,{"id":2}],"user":{"x":1}}"#
    for policy in UnknownFieldsPolicy.allCases {
      let mapping = MappingConfiguration(
        columns: [MappingConfiguration.Column("name", path: "user.name")], unknownFields: policy)
      let plan = try TestPlan.make([("id", "UInt8"), ("name", "String")], mapping: mapping)
      var decoder = RecordDecoder(plan: plan)
      var block = Block(layout: plan.layout)
      switch (policy, decoder.append(text, to: &block)) {
      case (.reject, .rejected(let rejection)):
        #expect(rejection.reason == .unknownField)
        #expect(rejection.message == #"no column takes the field at "more""#)
      case (.ignore, .row), (.count, .row):
        let unknown = decoder.takeUnknownFields()
        #expect(unknown == (policy == .count ? 2 : 0))
        #expect(decoder.takeUnknownFields() == 0)
      case (_, let outcome): Issue.record("\(policy): \(outcome)")
      }
    }
  }

  @Test func aNullObjectIsAnAbsentOne() throws {
    let plan = try Self.plan()
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    guard case .row = decoder.append(#"{"user":null}"#, to: &block),
      case .rejected(let rejection) = decoder.append(#"{"user":[1]}"#, to: &block)
    else {
      Issue.record("null is refused, or an array is taken")
      return
    }
    let shown = Self.row(block, 0)
    #expect(shown[17] == "" && shown[18] == "NULL")
    #expect(rejection.reason == .wrongKind && rejection.value == "[1]")
  }

  @Test func aRawRecordIsOneColumn() throws {
    let columns = [
      ColumnDescription(name: "value", type: .string),
      ColumnDescription(name: "level", type: .uint8, defaultKind: .default, defaultExpression: "7"),
      ColumnDescription(name: "seen", type: .dateTime(zone: nil), defaultKind: .default, defaultExpression: "now()"),
    ]
    let plan = try TestPlan.make(columns, mapping: MappingConfiguration(format: .raw))
    // What the server can fill in itself is left to it.
    #expect(plan.layout.names == ["value"])
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    let bytes: [UInt8] = [0x00, 0xFF, 0x7B]
    _ = unsafe bytes.withUnsafeBytes { unsafe decoder.append(value: $0, to: &block) }
    let value = block.value(row: 0, column: 0)
    #expect(value == .bytes(bytes))
  }
}
