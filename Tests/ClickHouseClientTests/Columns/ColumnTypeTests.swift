import ClickHouseClient
import Testing

@Suite struct ColumnTypeTests {
  /// As servers spell them, which is how we spell them back.
  @Test(arguments: [
    "Int8", "UInt64", "Float32", "Bool", "String", "FixedString(16)", "UUID", "Date", "Date32", "DateTime",
    "DateTime('Europe/Berlin')", "DateTime64(3)", "DateTime64(9, 'UTC')", "Decimal(9, 2)", "Decimal(38, 0)",
    "Enum8('a' = -128, 'it\\'s' = 0, 'b' = 127)", "Enum16('x' = -32768)", "IPv4", "IPv6", "Nullable(Decimal(18, 4))",
    "LowCardinality(Nullable(String))", "Array(Array(Nullable(Int8)))", "Tuple(Int8, String)",
    "Tuple(a Int8, `odd name` Array(String))", "Map(LowCardinality(String), Tuple(x Float64, y Float64))",
  ]) func typesAreReadAndSpelledBack(text: String) throws {
    let type = try ColumnType.parse(text)
    #expect(type.description == text)
    #expect(type.isWritable)
    #expect(try ColumnType.parse(" " + text.replacing("(", with: "( ").replacing(", ", with: ",\n  ")) == type)
  }

  @Test func spellingsMeanTheSame() throws {
    #expect(try ColumnType.parse("Decimal64(4)") == .decimal(precision: 18, scale: 4))
    #expect(try ColumnType.parse("Enum8('b' = 2, 'a' = 1)") == ColumnType.parse("Enum8('a' = 1, 'b' = 2)"))
    #expect(try ColumnType.parse("Enum8('it''s' = 1)") == ColumnType.parse("Enum8('it\\'s' = 1)"))
  }

  /// Known to be types, not written yet: named with the part that is at fault.
  @Test(arguments: [
    ("Int256", "Int256"), ("Array(UInt128)", "UInt128"), ("Decimal(76, 10)", "Decimal(76, 10)"),
    ("AggregateFunction(quantiles(0.5, 0.9), UInt64)", "AggregateFunction(quantiles(0.5, 0.9), UInt64)"),
    ("JSON(max_dynamic_paths=8, `a.b` UInt32, SKIP c)", "JSON(max_dynamic_paths=8, `a.b` UInt32, SKIP c)"),
    ("Tuple(a Int8, b Variant(String, UInt64))", "Variant(String, UInt64)"), ("Dynamic", "Dynamic"), ("Point", "Point"),
    ("Nullable(Array(Int8))", "Nullable(Array(Int8))"),
    ("LowCardinality(Array(String))", "LowCardinality(Array(String))"),
  ]) func whatCannotBeWrittenIsNamed(text: String, part: String) throws {
    let type = try ColumnType.parse(text)
    #expect(type.firstUnsupported == part && !type.isWritable)
    do throws(ClickHouseError) {
      _ = try Block(columns: [("total", type)]).rows
      Issue.record("a block with a column of \(text)")
    } catch {
      #expect(error.code == .unsupportedType && error.message.contains("\"total\"") && error.message.contains(part))
    }
  }

  @Test(arguments: [
    "", "Array", "Array(", "Array()", "Array(Int8", "Array(Int8))", "FixedString(0)", "FixedString(-1)",
    "FixedString(99999999999999999999)", "DateTime64(10)", "DateTime('UTC)", "Decimal(77, 1)", "Decimal(5, 6)",
    "Enum8('a' = 128)", "Enum8('a')", "Enum8()", "Map(String)", "Tuple()", "Int8 Int8", "Unknown('", "(", "\u{0}",
  ]) func whatIsNoTypeIsRefused(text: String) {
    let error = #expect(throws: ClickHouseError.self) { try ColumnType.parse(text) }
    #expect(error?.code == .invalidType, "\(text)")
  }

  @Test func nestingHasABound() {
    let deep = String(repeating: "Array(", count: 5000) + "Int8" + String(repeating: ")", count: 5000)
    let error = #expect(throws: ClickHouseError.self) { try ColumnType.parse(deep) }
    #expect(error?.message.contains("32") == true)
  }
}
