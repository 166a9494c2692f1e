import ClickHouseClient

/// Values of every type that can be written, with the text that a server shows for them: written by hand, after
/// ClickHouse's documentation.
struct TypeCase: Sendable, CustomStringConvertible {
  let type: String
  /// Not for 18.16, which lacks the type, or takes a tuple's elements apart into columns.
  var isNew = false
  let values: [(value: ClickHouseValue, text: String)]

  var description: String { type }

  init(_ type: String, isNew: Bool = false, _ values: [(ClickHouseValue, String)]) {
    self.type = type
    self.isNew = isNew
    self.values = values
  }

  static let all: [TypeCase] = numbers + texts + times + composites

  static let numbers = [
    TypeCase("Int8", [(-128, "-128"), (0, "0"), (127, "127")]),
    TypeCase("Int16", [(-32768, "-32768"), (32767, "32767")]),
    TypeCase("Int32", [(-2_147_483_648, "-2147483648"), (2_147_483_647, "2147483647")]),
    TypeCase("Int64", [(.int(.min), "-9223372036854775808"), (.int(.max), "9223372036854775807")]),
    TypeCase("UInt8", [(.uint(0), "0"), (.uint(255), "255")]),
    TypeCase("UInt16", [(.uint(65535), "65535")]),
    TypeCase("UInt32", [(.uint(4_294_967_295), "4294967295")]),
    TypeCase("UInt64", [(.uint(.max), "18446744073709551615")]),
    TypeCase("Float32", [(.float32(0.1), "0.1"), (.float32(-2.5), "-2.5"), (.float32(.infinity), "inf")]),
    TypeCase("Float64", [(0.1, "0.1"), (-1.5, "-1.5"), (.float64(1e300), "1e300"), (.float64(.infinity), "inf")]),
    TypeCase("Bool", isNew: true, [(true, "true"), (false, "false")]),
    TypeCase(
      "Decimal(9, 2)",
      [(.decimal(unscaled: 123, scale: 2), "1.23"), (.decimal(unscaled: -999_999_999, scale: 2), "-9999999.99")]),
    TypeCase("Decimal(18, 6)", [(.decimal(unscaled: -1_234_567, scale: 6), "-1.234567")]),
    TypeCase(
      "Decimal(38, 10)",
      [(.decimal(unscaled: 12_345_678_901_234_567_890_123_456_789, scale: 10), "1234567890123456789.0123456789")]),
  ]

  static let texts = [
    TypeCase("String", [("", ""), ("ada", "ada"), ("Grüße, 世界 🌍", "Grüße, 世界 🌍")]),
    TypeCase("FixedString(4)", [("abcd", "abcd"), ("wxyz", "wxyz")]),
    TypeCase(
      "UUID",
      [
        (
          .uuid(high: 0x1234_5678_9abc_def0, low: 0x0fed_cba9_8765_4321), "12345678-9abc-def0-0fed-cba987654321"
        )
      ]),
    TypeCase(
      "Enum8('low' = -128, 'it\\'s' = 0, 'high' = 127)",
      [(.enumeration("low"), "low"), (.enumeration("it's"), "it's"), (.enumeration("high"), "high")]),
    TypeCase("Enum16('a' = -32768, 'z' = 32767)", [(.enumeration("a"), "a"), (.enumeration("z"), "z")]),
    TypeCase("IPv4", isNew: true, [(.ipv4(0xC0A8_0001), "192.168.0.1"), (.ipv4(0), "0.0.0.0")]),
    TypeCase(
      "IPv6", isNew: true,
      [(.ipv6(high: 0x2001_0db8_0000_0000, low: 1), "2001:db8::1"), (.ipv6(high: 0, low: 0), "::")]),
  ]

  static let times = [
    TypeCase("Date", [(.date(days: 1), "1970-01-02"), (.date(days: 20000), "2024-10-04")]),
    TypeCase(
      "Date32", isNew: true,
      [(.date(days: -25567), "1900-01-01"), (.date(days: -1), "1969-12-31"), (.date(days: 120529), "2299-12-31")]),
    TypeCase("DateTime", [(.dateTime(seconds: 1), "1970-01-01 00:00:01")]),
    TypeCase("DateTime('Europe/Berlin')", [(.dateTime(seconds: 1_720_000_000), "2024-07-03 11:46:40")]),
    TypeCase(
      "DateTime64(3, 'UTC')", isNew: true,
      [
        (.dateTime64(ticks: 1_720_000_000_123, precision: 3), "2024-07-03 09:46:40.123"),
        (.dateTime64(ticks: -1, precision: 3), "1969-12-31 23:59:59.999"),
      ]),
    TypeCase("DateTime64(9)", isNew: true, [(.dateTime64(ticks: 1, precision: 9), "1970-01-01 00:00:00.000000001")]),
  ]

  static let composites = [
    TypeCase("Nullable(Int32)", [(.null, "\\N"), (7, "7"), (0, "0")]),
    TypeCase("Nullable(String)", [(.null, "\\N"), ("x", "x"), ("", "")]),
    TypeCase("Nullable(Decimal(9, 2))", [(.null, "\\N"), (.decimal(unscaled: 1, scale: 2), "0.01")]),
    TypeCase("Nullable(FixedString(2))", [(.null, "\\N"), ("ab", "ab")]),
    TypeCase("LowCardinality(String)", [("a", "a"), ("b", "b"), ("a", "a"), ("", "")]),
    TypeCase("LowCardinality(Nullable(String))", [(.null, "\\N"), ("a", "a"), ("", ""), (.null, "\\N")]),
    TypeCase("LowCardinality(UInt32)", isNew: true, [(.uint(7), "7"), (.uint(0), "0"), (.uint(7), "7")]),
    TypeCase("LowCardinality(FixedString(2))", [("ab", "ab"), ("cd", "cd"), ("ab", "ab")]),
    TypeCase("Array(UInt8)", [(.array([]), "[]"), (.array([.uint(1), .uint(2)]), "[1,2]")]),
    TypeCase(
      "Array(Array(String))",
      [
        (.array([.array([]), .array(["x", "y"])]), "[[],['x','y']]"), (.array([]), "[]"), (.array([["z"]]), "[['z']]"),
      ]),
    TypeCase("Array(Nullable(Int16))", [(.array([.null, -1]), "[NULL,-1]")]),
    TypeCase("Array(LowCardinality(String))", [(.array([]), "[]"), (.array(["a", "b", "a"]), "['a','b','a']")]),
    // For no elements at all 18.16 sends keys nevertheless, which no later server does and we do not read.
    TypeCase("Array(LowCardinality(String))", isNew: true, [(.array([]), "[]"), (.array([]), "[]")]),
    TypeCase(
      "Array(LowCardinality(Nullable(String)))", [(.array([.null, "b"]), "[NULL,'b']"), (.array([]), "[]")]),
    TypeCase("Tuple(Int8, String)", isNew: true, [(.tuple([-1, "x"]), "(-1,'x')"), (.tuple([2, ""]), "(2,'')")]),
    TypeCase(
      "Tuple(a Int8, b Array(String))", isNew: true, [(.tuple([1, .array(["p", "q"])]), "(1,['p','q'])")]),
    TypeCase(
      "Array(Tuple(UInt8, String))", isNew: true,
      [(.array([.tuple([.uint(1), "x"])]), "[(1,'x')]"), (.array([]), "[]")]),
    TypeCase(
      "Map(String, UInt16)", isNew: true,
      [
        (.map([]), "{}"),
        (.map([ClickHouseMapEntry("a", .uint(1)), ClickHouseMapEntry("b", .uint(2))]), "{'a':1,'b':2}"),
      ]),
    TypeCase(
      "Map(LowCardinality(String), Array(Nullable(Int32)))", isNew: true,
      [(.map([ClickHouseMapEntry("k", .array([.null, 3]))]), "{'k':[NULL,3]}"), (.map([]), "{}")]),
    TypeCase("Tuple(LowCardinality(String), Nullable(Int8))", isNew: true, [(.tuple(["x", .null]), "('x',NULL)")]),
  ]
}
