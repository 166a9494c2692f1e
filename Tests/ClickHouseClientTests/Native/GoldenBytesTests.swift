import Testing

@testable import ClickHouseClient

@Suite struct GoldenBytesTests {
  private func block(_ golden: GoldenColumn) throws -> [UInt8] {
    var head: [UInt8] = [1, UInt8(golden.values.count), 1, UInt8(ascii: "v"), UInt8(golden.type.utf8.count)]
    head += Array(golden.type.utf8)
    return head + golden.bytes
  }

  @Test(arguments: GoldenColumn.all) func weWriteWhatTheServerWrites(golden: GoldenColumn) throws {
    var block = try Block(columns: [("v", try ColumnType.parse(golden.type))])
    for value in golden.values { try block.appendRow(["v": value]) }
    let written = try EncodedBlock(block, compression: .none).bytes
    let wanted = try self.block(golden)
    #expect(hex(written) == hex(wanted))
  }

  @Test(arguments: GoldenColumn.all) func weReadWhatTheServerWrites(golden: GoldenColumn) throws {
    let block = try EncodedBlock.decode(body: try block(golden), compression: .none)
    let values = (0..<block.rows).map { block.value(row: $0, column: 0) }
    #expect(values == golden.values)
  }

  @Test func framesAreWhatOthersMake() throws {
    var block = try Block(columns: [("v", .string)])
    try block.appendRow(["v": "frame"])
    #expect(hex(try EncodedBlock(block, compression: .none).bytes) == hex(GoldenFrame.raw))
    #expect(hex(try EncodedBlock(block, compression: .lz4).bytes) == hex(GoldenFrame.lz4))
    #expect(hex(try EncodedBlock(block, compression: .zstd(level: 1)).bytes) == hex(GoldenFrame.zstd))
  }

  /// A body may hold several frames, each of its own method.
  @Test(arguments: [GoldenFrame.lz4, GoldenFrame.zstd, GoldenFrame.plain]) func framesAreRead(frame: [UInt8]) throws {
    let block = try EncodedBlock.decode(body: frame, compression: .lz4)
    #expect(block.rows == 1 && block.value(row: 0, column: 0) == "frame")
    for place in frame.indices {
      var damaged = frame
      damaged[place] ^= 0x10
      #expect(throws: ClickHouseError.self, "byte \(place)") {
        _ = try EncodedBlock.decode(body: damaged, compression: .lz4).rows
      }
    }
  }

  private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }
}
