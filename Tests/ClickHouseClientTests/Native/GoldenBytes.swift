import ClickHouseClient

/// Values of each type and the bytes of their column, as ClickHouse 26.9 itself writes them in a Native block (`SELECT v
/// … FORMAT Native`): taken from the engine, not from us. In hexadecimal; what follows `#` is for the reader.
struct GoldenColumn: Sendable, CustomStringConvertible {
  let type: String
  let values: [ClickHouseValue]
  let text: String

  init(_ type: String, _ values: [ClickHouseValue], _ text: String) {
    (self.type, self.values, self.text) = (type, values, text)
  }

  var description: String { type }
  var bytes: [UInt8] { GoldenColumn.bytes(text) }

  static func bytes(_ text: String) -> [UInt8] {
    text.split(separator: "\n").flatMap { line in
      line.prefix { $0 != "#" }.split(separator: " ").map { word in
        guard let byte = UInt8(word, radix: 16) else { preconditionFailure("'\(word)' in golden bytes") }
        return byte
      }
    }
  }

  static let all: [GoldenColumn] = plain + wrapped + containers

  static let plain = [
    GoldenColumn("UInt8", [.uint(0), .uint(255)], "00 ff"),
    GoldenColumn("Int16", [-2, 258], "fe ff 02 01"),
    GoldenColumn("UInt64", [.uint(1), .uint(.max)], "01 00 00 00 00 00 00 00  ff ff ff ff ff ff ff ff"),
    GoldenColumn("Float32", [.float32(1.5)], "00 00 c0 3f"),
    GoldenColumn("Float64", [-0.25], "00 00 00 00 00 00 d0 bf"),
    GoldenColumn("Bool", [true, false], "01 00"),
    GoldenColumn(
      "Decimal(9, 2)", [.decimal(unscaled: 123, scale: 2), .decimal(unscaled: -1, scale: 2)],
      "7b 00 00 00  ff ff ff ff"),
    GoldenColumn("Decimal(18, 6)", [.decimal(unscaled: -1_234_567, scale: 6)], "79 29 ed ff ff ff ff ff"),
    GoldenColumn(
      "Decimal(38, 10)", [.decimal(unscaled: 10_000_000_001, scale: 10)],
      "01 e4 0b 54 02 00 00 00 00 00 00 00 00 00 00 00"),
    GoldenColumn("String", ["", "ada", "ü"], "00  03 61 64 61  02 c3 bc   # length, bytes"),
    GoldenColumn("FixedString(4)", ["ab\0\0", "wxyz"], "61 62 00 00  77 78 79 7a   # filled with zeros"),
    GoldenColumn(
      "UUID", [.uuid(high: 0x0001_0203_0405_0607, low: 0x0809_0a0b_0c0d_0e0f)],
      """
      07 06 05 04 03 02 01 00   # the first half, 00010203-0405-0607, as a little-endian number
      0f 0e 0d 0c 0b 0a 09 08   # the second, 0809-0a0b0c0d0e0f
      """),
    GoldenColumn("Date", [.date(days: 1), .date(days: 65535)], "01 00  ff ff   # days, 1970-01-02 and 2149-06-06"),
    GoldenColumn("Date32", [.date(days: -1)], "ff ff ff ff   # 1969-12-31"),
    // To a client that names no revision the server does not name the zone.
    GoldenColumn("DateTime", [.dateTime(seconds: 1)], "01 00 00 00"),
    GoldenColumn(
      "DateTime64(3, 'UTC')", [.dateTime64(ticks: -1, precision: 3)],
      "ff ff ff ff ff ff ff ff   # 1969-12-31 23:59:59.999"),
    GoldenColumn("Enum8('a' = -1, 'b' = 2)", [.enumeration("b"), .enumeration("a")], "02 ff"),
    GoldenColumn("Enum16('a' = 1000)", [.enumeration("a")], "e8 03"),
    GoldenColumn("IPv4", [.ipv4(0xC0A8_0001)], "01 00 a8 c0   # 192.168.0.1 as a little-endian number"),
    GoldenColumn(
      "IPv6", [.ipv6(high: 0x2001_0db8_0000_0000, low: 1)],
      "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01   # in network order"),
  ]

  static let wrapped = [
    GoldenColumn(
      "Nullable(Int32)", [.null, 7],
      """
      01 00                     # the null map
      00 00 00 00  07 00 00 00
      """),
    GoldenColumn("Nullable(String)", ["x", .null], "00 01   # the null map\n01 78  00"),
    GoldenColumn(
      "LowCardinality(String)", ["a", "b", "a", ""],
      """
      01 00 00 00 00 00 00 00   # version of the keys
      00 06 00 00 00 00 00 00   # numbers of one byte; keys of this block's own, which replace others
      03 00 00 00 00 00 00 00   # three keys
      00  01 61  01 62          # "", "a", "b"
      04 00 00 00 00 00 00 00   # four rows
      01 02 01 00
      """),
    GoldenColumn(
      "LowCardinality(Nullable(String))", [.null, "", "a", .null],
      """
      01 00 00 00 00 00 00 00
      00 06 00 00 00 00 00 00
      03 00 00 00 00 00 00 00
      00  00  01 61             # NULL, "", "a"
      04 00 00 00 00 00 00 00
      00 01 02 00
      """),
    GoldenColumn(
      "LowCardinality(UInt32)", [.uint(7), .uint(0), .uint(7)],
      """
      01 00 00 00 00 00 00 00
      00 06 00 00 00 00 00 00
      02 00 00 00 00 00 00 00
      00 00 00 00  07 00 00 00
      03 00 00 00 00 00 00 00
      01 00 01
      """),
  ]

  static let containers = [
    GoldenColumn(
      "Array(UInt8)", [.array([]), .array([.uint(1), .uint(2)])],
      """
      00 00 00 00 00 00 00 00   # where each row ends
      02 00 00 00 00 00 00 00
      01 02
      """),
    GoldenColumn(
      "Array(Array(String))", [.array([["x"], .array([])]), .array([])],
      """
      02 00 00 00 00 00 00 00   # outer ends
      02 00 00 00 00 00 00 00
      01 00 00 00 00 00 00 00   # inner ends
      01 00 00 00 00 00 00 00
      01 78
      """),
    GoldenColumn(
      "Array(Nullable(Int16))", [.array([.null, -1])],
      """
      02 00 00 00 00 00 00 00
      01 00
      00 00  ff ff
      """),
    GoldenColumn(
      "Array(LowCardinality(String))", [.array(["a", "b"]), .array([])],
      """
      01 00 00 00 00 00 00 00   # version of the keys, before everything else
      02 00 00 00 00 00 00 00   # ends
      02 00 00 00 00 00 00 00
      00 06 00 00 00 00 00 00
      03 00 00 00 00 00 00 00
      00  01 61  01 62
      02 00 00 00 00 00 00 00
      01 02
      """),
    GoldenColumn("Tuple(Int8, String)", [.tuple([-1, "x"]), .tuple([2, ""])], "ff 02\n01 78  00"),
    GoldenColumn("Tuple(a Int8, b Nullable(String))", [.tuple([1, .null])], "01\n01\n00"),
    GoldenColumn(
      "Map(String, UInt16)",
      [.map([ClickHouseMapEntry("a", .uint(1)), ClickHouseMapEntry("b", .uint(2))]), .map([])],
      """
      02 00 00 00 00 00 00 00   # ends
      02 00 00 00 00 00 00 00
      01 61  01 62
      01 00  02 00
      """),
    GoldenColumn(
      "Map(LowCardinality(String), Array(UInt8))", [.map([ClickHouseMapEntry("k", .array([.uint(3)]))])],
      """
      01 00 00 00 00 00 00 00   # version of the keys
      01 00 00 00 00 00 00 00   # the map's ends
      00 06 00 00 00 00 00 00
      02 00 00 00 00 00 00 00
      00  01 6b
      01 00 00 00 00 00 00 00
      01
      01 00 00 00 00 00 00 00   # the array's ends
      03
      """),
  ]
}

/// One body of 17 bytes, a block with a column `v String` and one row `frame`, in ClickHouse's frames: made with PyPI's
/// clickhouse-cityhash, lz4 and zstandard.
enum GoldenFrame {
  static let raw = GoldenColumn.bytes(
    """
    01 01                     # columns, rows
    01 76                     # "v"
    06 53 74 72 69 6e 67      # "String"
    05 66 72 61 6d 65         # "frame"
    """)

  static let lz4 = GoldenColumn.bytes(
    """
    03 e0 5a f8 43 78 6b c2   # CityHash128 of what follows, low half first
    98 96 7c a2 b7 9f 5d d9
    82                        # LZ4
    1c 00 00 00               # bytes from the method on
    11 00 00 00               # raw bytes
    f0 02 01 01 01 76 06 53 74 72 69 6e 67 05 66 72 61 6d 65
    """)

  static let zstd = GoldenColumn.bytes(
    """
    7d 08 33 82 63 ae f3 48  5f 44 db a8 51 da 95 5e
    90  23 00 00 00  11 00 00 00
    28 b5 2f fd 20 11 89 00 00 01 01 01 76 06 53 74 72 69 6e 67 05 66 72 61 6d 65
    """)

  static let plain = GoldenColumn.bytes(
    """
    4d c2 c1 c1 b0 8c 94 f7  6b 25 85 d6 ff fb 40 85
    02  1a 00 00 00  11 00 00 00
    01 01 01 76 06 53 74 72 69 6e 67 05 66 72 61 6d 65
    """)
}
