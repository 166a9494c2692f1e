import SinkBytes
import Testing

@testable import ClickHouseClient

@Suite struct NativeRoundTripTests {
  static let compressions: [BlockCompression] = [
    .none, .lz4, .zstd(level: 1), .gzip(level: 1), .zstdStream(level: 1),
  ]

  /// Every everyday type, with NULLs, empty and nested values, comes back as it went in.
  @Test(arguments: compressions) func aBlockComesBack(compression: BlockCompression) throws {
    let types = [
      "UInt8", "Int64", "Float64", "Bool", "Decimal(38, 4)", "String", "FixedString(4)", "UUID", "Date", "Date32",
      "DateTime('UTC')", "DateTime64(6)", "Enum8('a' = -1, 'b' = 2)", "IPv4", "IPv6", "Nullable(String)",
      "Nullable(Int32)", "LowCardinality(String)", "LowCardinality(Nullable(String))", "Array(Array(String))",
      "Tuple(x Int8, y String)", "Map(String, UInt16)", "Array(Nullable(UInt8))", "Array(LowCardinality(String))",
    ]
    var block = try Block(columns: try types.enumerated().map { ("c\($0)", try ColumnType.parse($1)) })
    for row in 0..<700 {
      let text = ClickHouseValue.string(String(repeating: "ä", count: row % 40) + "\(row)")
      try block.appendRow([
        (name: "c0", value: .uint(UInt64(row % 256))), ("c1", .int(Int64(row) - 350)),
        ("c2", .float64(Double(row) / 3)),
        ("c4", .decimal(unscaled: Int128(row) * 12345, scale: 4)), ("c5", text),
        ("c7", .uuid(high: UInt64(row), low: 7)), ("c15", row % 3 == 0 ? .null : text),
        ("c16", row % 2 == 0 ? .null : .int(Int64(row))), ("c17", .string("k\(row % 300)")),
        ("c18", row % 5 == 0 ? .null : .string("n\(row % 7)")),
        ("c19", .array((0..<row % 3).map { inner in .array((0..<inner).map { .string("\($0)") }) })),
        ("c20", .tuple([.int(Int64(row % 100)), text])),
        ("c21", .map((0..<row % 4).map { ClickHouseMapEntry(.string("k\($0)"), .uint(UInt64($0))) })),
        ("c22", .array([.null, .uint(UInt64(row % 9))])),
        ("c23", .array((0..<row % 3).map { .string("lc\($0)") })),
      ])
    }
    let encoded = try EncodedBlock(block, compression: compression)
    let back = try encoded.decode()
    #expect(back.rows == block.rows && back.layout.names == block.layout.names)
    for column in 0..<block.columnCount {
      for row in stride(from: 0, to: block.rows, by: 13) {
        let (was, now) = (block.value(row: row, column: column), back.value(row: row, column: column))
        #expect(was == now, "\(types[column]), row \(row)")
      }
    }
  }

  /// A block that is cut anywhere is not there yet, never a crash and never a block.
  @Test func aBlockCutAnywhereIsNotThereYet() throws {
    var block = try Block(columns: [
      ("a", .int32), ("b", .nullable(.string)), ("c", .lowCardinality(.string)), ("d", .array(.string)),
    ])
    for row in 0..<5 {
      try block.appendRow(["a": .int(Int64(row)), "b": row == 1 ? .null : "x", "c": "k", "d": .array(["p", "q"])])
    }
    let encoded = try EncodedBlock(block, compression: .none)
    let bytes: [UInt8] = unsafe encoded.body.withUnsafeBytes { unsafe [UInt8]($0) }
    for count in 0..<bytes.count {
      let isThere = try unsafe bytes[..<count].withUnsafeBytes { bytes in
        var reader = NativeBlockReader()
        return try unsafe reader.read(bytes) != nil
      }
      #expect(!isThere, "cut at \(count) of \(bytes.count)")
    }
  }

  /// Whatever a server sends, in a column of any type, is an error or a block whose values can be looked at.
  @Test(arguments: GoldenColumn.all) func hostileBytesAreAnErrorOrABlock(golden: GoldenColumn) throws {
    var block = try Block(columns: [("v", try ColumnType.parse(golden.type)), ("after", .string)])
    for value in golden.values { try block.appendRow(["v": value, "after": "text"]) }
    let whole = try EncodedBlock(block, compression: .none).bytes
    for seed in 0..<UInt64(200) {
      var bytes = whole
      var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
      for _ in 0..<3 {
        state = state &* 6_364_136_223_846_793_005 &+ 1
        bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 24)
      }
      guard let read = try? EncodedBlock.decode(body: bytes, compression: .none) else { continue }
      for row in 0..<min(read.rows, 100) {
        for column in 0..<read.columnCount { _ = read.value(row: row, column: column) }
      }
    }
  }

  /// Lengths that no bytes stand behind: no memory is taken for them, and no arithmetic overflows.
  @Test(arguments: [
    "ff ff 3f 01", "ff ff ff ff ff ff ff ff ff 01 01", "01 ff ff ff 3f 01 76 05 55 49 6e 74 38",
    // Array(FixedString(16777215)) with 2^40 - 1 elements.
    "01 01 01 76 1c 41 72 72 61 79 28 46 69 78 65 64 53 74 72 69 6e 67 28 31 36 37 37 37 32 31 35 29 29 "
      + "ff ff ff ff ff 00 00 00 61",
    "01 01 01 76 06 53 74 72 69 6e 67 ff ff ff ff 7f",
  ]) func lengthsWithoutBytesAreRefused(text: String) {
    #expect(throws: ClickHouseError.self) {
      _ = try EncodedBlock.decode(body: GoldenColumn.bytes(text), compression: .none).rows
    }
  }

  @Test func aDamagedFrameIsFound() throws {
    var block = try Block(columns: [("a", .string)])
    try block.appendRow(["a": "hello"])
    let encoded = try EncodedBlock(block, compression: .lz4)
    var bytes: [UInt8] = unsafe encoded.body.withUnsafeBytes { unsafe [UInt8]($0) }
    bytes[bytes.count - 1] ^= 1
    #expect(throws: ClickHouseError.self) {
      try unsafe bytes.withUnsafeBytes { _ = try unsafe BodyReader.decompress($0, .lz4).count }
    }
  }
}
