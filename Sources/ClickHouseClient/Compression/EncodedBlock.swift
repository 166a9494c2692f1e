internal import SinkBytes

/// A block as it is sent: the same bytes at every attempt, whatever becomes of the columns that they were made from.
public final class EncodedBlock: Sendable {
  public let rows: Int
  /// Before compression.
  public let rawBytes: Int
  public let layout: BlockLayout
  public let compression: BlockCompression
  let body: HTTPBody

  /// What an attempt sends.
  public var byteCount: Int { body.count }

  /// Encodes a block as one Native block.
  /// - Throws: `compression`, which takes a lack of memory or an impossible level.
  public init(_ block: borrowing Block, compression: BlockCompression) throws(ClickHouseError) {
    // Half of the raw size: LZ4 makes less of most data, and growing is cheap beside compressing.
    var writer = try BodyWriter(
      compression, capacity: compression == .none ? block.byteCount + 1024 : block.byteCount / 2 + 1024)
    try NativeBlockWriter.write(block, to: &writer)
    rows = block.rows
    rawBytes = writer.rawBytes
    layout = block.layout
    self.compression = compression
    body = HTTPBody(try writer.finish())
  }

  /// The block again, for cutting it when the server refuses some of its rows.
  public func decode() throws(ClickHouseError) -> Block {
    try unsafe body.withUnsafeBytes { (bytes) throws(ClickHouseError) in
      try unsafe Self.decode(bytes, compression, layout)
    }
  }

  /// Reads a body as a server would; the frames of LZ4 and ZSTD say themselves which they are.
  /// - Throws: `malformedData` for what is not one whole Native block.
  package static func decode(body: [UInt8], compression: BlockCompression) throws(ClickHouseError) -> Block {
    var copy = ByteBuffer(capacity: body.count)
    unsafe copy.append(body.span.bytes)
    return try unsafe copy.withUnsafeBytes { (bytes) throws(ClickHouseError) in
      try unsafe decode(bytes, compression, nil)
    }
  }

  private static func decode(
    _ body: UnsafeRawBufferPointer, _ compression: BlockCompression, _ layout: BlockLayout?
  ) throws(ClickHouseError) -> Block {
    var reader = NativeBlockReader()
    let raw = try unsafe BodyReader.decompress(body, compression)
    guard
      let block = try unsafe raw.withUnsafeBytes({ (bytes) throws(ClickHouseError) in
        try unsafe reader.read(bytes, layout: layout)
      })
    else { throw ClickHouseError(code: .malformedData, message: "the block ends before its last column") }
    guard reader.used == raw.count else {
      throw .malformed("\(raw.count - reader.used) bytes after the block")
    }
    return block
  }
}
