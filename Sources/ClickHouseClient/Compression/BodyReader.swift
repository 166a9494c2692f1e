internal import CSinkLZ4
internal import CSinkZlib
internal import CSinkZstd
internal import SinkBytes

/// Undoes what `BodyWriter` does, for whole bodies.
enum BodyReader {
  /// - Throws: `malformedData` for bytes that are no frames or were damaged, `limitExceeded` beyond `limitBytes`.
  static func decompress(
    _ bytes: UnsafeRawBufferPointer, _ compression: BlockCompression, limitBytes: Int = 1 << 31
  ) throws(ClickHouseError) -> ByteBuffer {
    switch compression {
    case .none:
      var copy = ByteBuffer(capacity: bytes.count)
      unsafe copy.append(bytes)
      return copy
    case .lz4, .zstd: return try unsafe frames(bytes, limitBytes: limitBytes)
    case .gzip: return try unsafe gunzip(bytes, limitBytes: limitBytes)
    case .zstdStream: return try unsafe unzstd(bytes, limitBytes: limitBytes)
    }
  }

  private static func frames(
    _ bytes: UnsafeRawBufferPointer, limitBytes: Int
  ) throws(ClickHouseError) -> ByteBuffer {
    var raw = ByteBuffer(capacity: bytes.count * 2)
    var position = 0
    while position < bytes.count {
      guard bytes.count - position >= FrameHead.byteCount else { throw .malformed("a frame that ends in its head") }
      let head = unsafe bytes.baseAddress! + position
      let method = unsafe head.load(fromByteOffset: 16, as: UInt8.self)
      let size = Int(unsafe head.loadUnaligned(fromByteOffset: 17, as: UInt32.self))
      let rawSize = Int(unsafe head.loadUnaligned(fromByteOffset: 21, as: UInt32.self))
      guard size >= FrameHead.infoBytes, size <= bytes.count - position - FrameHead.checksumBytes else {
        throw .malformed("a frame of \(size) bytes where \(bytes.count - position - FrameHead.checksumBytes) are left")
      }
      guard rawSize <= FrameHead.limitBytes, raw.count + rawSize <= limitBytes else {
        throw ClickHouseError(code: .limitExceeded, message: "frames of more than \(limitBytes) bytes in all")
      }
      let hash = unsafe CityHash128.hash(
        UnsafeRawBufferPointer(start: head + FrameHead.checksumBytes, count: size))
      guard unsafe hash.low == head.loadUnaligned(as: UInt64.self),
        unsafe hash.high == head.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
      else { throw .malformed("a frame whose checksum is wrong") }
      let payload = unsafe UnsafeRawBufferPointer(
        start: head + FrameHead.byteCount, count: size - FrameHead.infoBytes)
      try unsafe append(method, payload, rawSize, to: &raw)
      position += FrameHead.checksumBytes + size
    }
    return raw
  }

  private static func append(
    _ method: UInt8, _ payload: UnsafeRawBufferPointer, _ rawSize: Int, to raw: inout ByteBuffer
  ) throws(ClickHouseError) {
    var count = -1
    unsafe raw.append(atMost: rawSize) { room in
      switch method {
      case FrameHead.none where payload.count == rawSize:
        unsafe room.copyMemory(from: payload)
        count = rawSize
      case FrameHead.lz4:
        count = unsafe Int(
          LZ4_decompress_safe(
            payload.assumingMemoryBound(to: CChar.self).baseAddress,
            room.assumingMemoryBound(to: CChar.self).baseAddress, Int32(payload.count), Int32(rawSize)))
      case FrameHead.zstd:
        let result = unsafe ZSTD_decompress(room.baseAddress, rawSize, payload.baseAddress, payload.count)
        count = ZSTD_isError(result) == 0 ? result : -1
      default: break
      }
      return max(0, count)
    }
    guard count == rawSize else { throw .malformed("a frame of method \(method) that does not decompress") }
  }

  private static func gunzip(
    _ bytes: UnsafeRawBufferPointer, limitBytes: Int
  ) throws(ClickHouseError) -> ByteBuffer {
    guard bytes.count <= UInt32.max else {
      throw ClickHouseError(code: .limitExceeded, message: "a gzip body of \(bytes.count) bytes")
    }
    var raw = ByteBuffer(capacity: bytes.count * 3)
    var stream = unsafe z_stream()
    guard unsafe inflateInit2_(&stream, 15 + 32, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw ClickHouseError(code: .compression, message: "zlib cannot start")
    }
    defer { unsafe inflateEnd(&stream) }
    unsafe stream.next_in = UnsafeMutablePointer(mutating: bytes.assumingMemoryBound(to: UInt8.self).baseAddress)
    unsafe stream.avail_in = UInt32(bytes.count)
    var status = Z_OK
    while status == Z_OK {
      guard raw.count < limitBytes else {
        throw ClickHouseError(code: .limitExceeded, message: "a body of more than \(limitBytes) bytes")
      }
      unsafe raw.append(atMost: 256 << 10) { room in
        unsafe stream.next_out = room.assumingMemoryBound(to: UInt8.self).baseAddress
        unsafe stream.avail_out = UInt32(room.count)
        status = unsafe inflate(&stream, Z_NO_FLUSH)
        return room.count - Int(unsafe stream.avail_out)
      }
    }
    guard status == Z_STREAM_END else { throw .malformed("gzip that does not decompress (\(status))") }
    return raw
  }

  private static func unzstd(
    _ bytes: UnsafeRawBufferPointer, limitBytes: Int
  ) throws(ClickHouseError) -> ByteBuffer {
    var raw = ByteBuffer(capacity: bytes.count * 3)
    guard let context = unsafe ZSTD_createDCtx() else {
      throw ClickHouseError(code: .compression, message: "zstd has no memory")
    }
    defer { unsafe ZSTD_freeDCtx(context) }
    var input = unsafe ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
    var left = 1
    while left != 0 {
      guard raw.count < limitBytes else {
        throw ClickHouseError(code: .limitExceeded, message: "a body of more than \(limitBytes) bytes")
      }
      let (before, taken) = unsafe (raw.count, input.pos)
      unsafe raw.append(atMost: 256 << 10) { room in
        var output = unsafe ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
        left = unsafe ZSTD_decompressStream(context, &output, &input)
        return unsafe output.pos
      }
      let isStuck = unsafe raw.count == before && input.pos == taken
      guard ZSTD_isError(left) == 0, left == 0 || !isStuck else { throw .malformed("zstd that does not decompress") }
    }
    return raw
  }
}
