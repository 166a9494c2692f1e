import ClickHouseClient
import Testing

@testable import Pipeline

/// How a mapping is fitted to a table, and what is said where it does not fit.
@Suite struct RecordPlanTests {
  static let table = [
    ColumnDescription(name: "id", type: .uint64),
    ColumnDescription(name: "name", type: .string),
    ColumnDescription(name: "a.b", type: .string),
    ColumnDescription(name: "day", type: .date, defaultKind: .materialized, defaultExpression: "toDate(at)"),
    ColumnDescription(name: "upper", type: .string, defaultKind: .alias, defaultExpression: "upper(name)"),
    ColumnDescription(name: "input", type: .string, defaultKind: .ephemeral),
    ColumnDescription(name: "level", type: .uint8, defaultKind: .default, defaultExpression: "7"),
    ColumnDescription(name: "seen", type: .dateTime(zone: "UTC"), defaultKind: .default, defaultExpression: "now()"),
  ]

  private func problems(
    _ columns: [ColumnDescription], _ mapping: MappingConfiguration = MappingConfiguration(), nullAsDefault: Bool = true
  ) -> [String] {
    do {
      _ = try TestPlan.make(columns, mapping: mapping, nullAsDefault: nullAsDefault)
      return []
    } catch {
      return (error as? MappingProblems)?.problems.map(\.description) ?? ["\(error)"]
    }
  }

  private func problems(mapping columns: [(String, String?)]) -> [String] {
    problems(Self.table, MappingConfiguration(columns: columns.map { MappingConfiguration.Column($0.0, path: $0.1) }))
  }

  @Test func whatAnInsertCannotFillIsLeftOut() throws {
    let plan = try TestPlan.make(Self.table)
    #expect(plan.layout.names == ["id", "name", "a.b", "level", "seen"])
    // An expression DEFAULT goes as NULL, which the server replaces; a literal one is written by us.
    #expect(plan.layout.types[4] == .nullable(.dateTime(zone: "UTC")))
    #expect(plan.layout.types[3] == .uint8)
    #expect(plan.requiredSettings.map(\.0) == ["input_format_null_as_default"])
    #expect(plan.fills == [.typeDefault, .typeDefault, .typeDefault, .literal(Array("7".utf8)), .null])
  }

  /// NULL is no way to ask for a DEFAULT, whoever computes it: the field is left out.
  @Test(arguments: ["level", "seen"]) func nullIsNoDefault(column: String) throws {
    let plan = try TestPlan.make(Self.table)
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    guard case .rejected(let rejection) = decoder.append("{\"\(column)\":null}", to: &block) else {
      Issue.record("null was taken")
      return
    }
    #expect(rejection.reason == .nullNotAllowed && rejection.column == column)
  }

  @Test func aColumnMappedToNothingIsTheServers() throws {
    let mapping = MappingConfiguration(columns: [
      MappingConfiguration.Column("seen", path: nil), MappingConfiguration.Column("name", path: nil),
    ])
    let plan = try TestPlan.make(Self.table, mapping: mapping)
    #expect(plan.layout.names == ["id", "a.b", "level"])
    #expect(plan.requiredSettings.isEmpty)
  }

  @Test(arguments: [
    ("nobody", "x", "column nobody: table t has no such column; it has a.b, day, id, input, level, name, seen, upper"),
    ("day", "x", "column day: is MATERIALIZED: an insert cannot fill it"),
    ("upper", "x", "column upper: is ALIAS: an insert cannot fill it"),
    ("input", "x", "column input: is EPHEMERAL: an insert cannot fill it"),
    ("name", "x..y", "column name: the path 'x..y' has an empty name in it"),
    ("name", "", "column name: the path '' has an empty name in it"),
    (
      "name", "id",
      "column name: the field id goes to column id already, or lies inside it: map one of them to another path, or to null"
    ),
    (
      "name", "id.x",
      "column name: the field id.x goes to column id already, or lies inside it: map one of them to another path, or to null"
    ),
  ]) func aWrongMappingIsNamed(column: String, path: String, message: String) {
    #expect(problems(mapping: [(column, path)]) == [message])
  }

  @Test func everyProblemIsToldAtOnce() {
    let found = problems(mapping: [("nobody", "x"), ("name", "u.a"), ("a.b", "u"), ("level", "v"), ("level", "w")])
    #expect(found.count == 3, "\(found)")
    #expect(found.contains { $0.contains("is mapped twice") })
    #expect(found.contains { $0.contains("an object that other columns take fields of") })
  }

  @Test func pathsArePartedAtDots() {
    #expect(RecordPlanBuilder.split("a") == ["a"])
    #expect(RecordPlanBuilder.split("a.b.c") == ["a", "b", "c"])
    #expect(RecordPlanBuilder.split(#"a\.b.c\\d"#) == ["a.b", #"c\d"#])
    #expect(RecordPlanBuilder.split(".a") == ["", "a"])
  }

  /// Without a path, a column's name is a field's name, dots included.
  @Test func aDotInAColumnsNameIsPartOfTheField() throws {
    let plan = try TestPlan.make(Self.table)
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    guard case .row = decoder.append(#"{"a.b":"plain","a":{"b":"inside"}}"#, to: &block) else {
      Issue.record("refused")
      return
    }
    let value = block.value(row: 0, column: 2)
    #expect(value == "plain")
  }

  @Test func defaultsThatCannotBeLeftOutOfSingleRowsAreRefused() {
    let list = ColumnDescription(
      name: "list", type: .array(.uint8), defaultKind: .default, defaultExpression: "range(3)")
    let found = problems([list])
    #expect(found.count == 1 && found[0].contains("has the DEFAULT range(3), which only the server can compute"))
    #expect(found[0].contains("map the column to null"))
    // A literal one is ours to write, whatever the type.
    let empty = ColumnDescription(name: "list", type: .array(.uint8), defaultKind: .default, defaultExpression: "[]")
    #expect(problems([empty]).isEmpty)
    let old = problems(Self.table, nullAsDefault: false)
    #expect(old.count == 1 && old[0].hasPrefix("column seen: has the DEFAULT now()"))
    #expect(old[0].contains("with this server version"))
    #expect(
      problems([ColumnDescription(name: "j", type: .unsupported("Int256"))])[0].contains("Int256 cannot be written yet")
    )
  }

  /// A literal that the column would not take as we read it is the server's to compute.
  @Test(arguments: [
    (ColumnType.uint8, "300"), (.int32, "1.5"), (.date, "'now'"), (.decimal(precision: 9, scale: 2), "1.005"),
  ])
  func aLiteralThatDoesNotFitIsAnExpression(type: ColumnType, text: String) throws {
    let column = ColumnDescription(name: "c", type: type, defaultKind: .default, defaultExpression: text)
    let plan = try TestPlan.make([column])
    #expect(plan.fills == [.null] && plan.layout.types == [.nullable(type)])
  }

  @Test(arguments: [
    ("7", "7"), ("-7", "-7"), ("1.5", "1.5"), (" 'a' ", #""a""#), (#"'it\'s \\ \n"'"#, #""it's \\ \n\"""#),
    ("NULL", "null"),
    ("true", "true"), ("[]", "[]"), ("map()", "{}"), ("CAST('a', 'Enum8(\\'a\\' = 1)')", #""a""#),
    ("CAST('a,b', 'String')", #""a,b""#),
  ]) func literalsAreRead(sql: String, json: String) {
    #expect(DefaultLiteral.json(sql).map { String(decoding: $0, as: UTF8.self) } == json)
  }

  @Test(arguments: [
    "now()", "upper('a')", "1 + 1", "id", "'a' || 'b'", "'a''b'", "0x1F", ".5", "1.", "01", "-", "'", "'a\\'", "[1, 2]",
    "CAST(id, 'String')", "CAST(upper('a'), 'String')", "",
  ]) func expressionsAreTheServers(sql: String) {
    #expect(DefaultLiteral.json(sql) == nil)
  }

  @Test func metadataColumnsMustHaveTheirTypes() throws {
    let right: [(String, String)] = [
      ("_topic", "LowCardinality(String)"), ("_partition", "UInt32"), ("_offset", "UInt64"),
      ("_timestamp", "Nullable(DateTime64(3))"), ("_key", "Nullable(String)"), ("_headers", "Map(String, String)"),
    ]
    let plan = try TestPlan.make(right.map { (name: $0.0, type: $0.1) })
    #expect(plan.fills == MetadataKind.allCases.map { .metadata($0) })
    let wrong = [
      ("_topic", "UInt8"), ("_partition", "Int8"), ("_offset", "Int32"), ("_timestamp", "Date"), ("_key", "UUID"),
      ("_headers", "String"),
    ]
    let found = problems(try wrong.map { ColumnDescription(name: $0.0, type: try ColumnType.parse($0.1)) })
    try #require(found.count == 6, "\(found)")
    #expect(
      found[2] == "column _offset: is filled with the record's offset and must be Int64 or UInt64, not Int32; or map it"
    )
    // Mapped, it is a column like any other.
    let mapping = MappingConfiguration(columns: [MappingConfiguration.Column("_offset", path: "n")])
    #expect(try TestPlan.make([("_offset", "Int32")], mapping: mapping).fills == [.typeDefault])
  }

  @Test func formatRawNeedsOneColumn() {
    let raw = MappingConfiguration(format: .raw)
    #expect(problems([ColumnDescription(name: "value", type: .uint8)], raw).contains { $0.contains("must be String") })
    #expect(problems([ColumnDescription(name: "other", type: .string)], raw).contains { $0.contains("has 0 of them") })
    let mapped = MappingConfiguration(format: .raw, columns: [MappingConfiguration.Column("other", path: "x")])
    #expect(problems([ColumnDescription(name: "other", type: .string)], mapped).isEmpty)
  }
}

@Suite struct ZoneTransitionsTests {
  /// Every second around both changes of a year, against the definition: the instants that a clock shows as that time.
  @Test func localTimesAreReadAsTheZonesClockShowsThem() {
    let zone = TestPlan.berlin
    for change in zone.instants {
      for instant in (change - 7300)...(change + 7300) where (instant - change) % 7 == 0 {
        let offset = zone.instants.last { $0 <= instant }.map { zone.offsets[zone.instants.firstIndex(of: $0)!] }
        let local = instant + Int64(offset ?? zone.initialOffset)
        let read = zone.utcSeconds(local: local)
        // A time that comes twice is its first.
        let isSecond = change == zone.instants[1] && instant >= change && instant < change + 3600
        #expect(read == (isSecond ? instant - 3600 : instant), "\(instant)")
      }
    }
    // 02:30 is skipped: read with the offset that holds after.
    #expect(zone.utcSeconds(local: 1_774_746_000 + 3600 + 1800) == 1_774_746_000 - 1800)
    #expect(ZoneTransitions.utc.utcSeconds(local: -5) == -5)
  }
}
