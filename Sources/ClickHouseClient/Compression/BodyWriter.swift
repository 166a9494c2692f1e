internal import CSinkLZ4
internal import CSinkZlib
internal import CSinkZstd
internal import SinkBytes

/// Takes the pieces of a body and compresses them, straight out of the columns where these are large.
///
/// ClickHouse's frames hold slices of the stream: 16 bytes of checksum, then method, sizes and the compressed bytes. Small
/// pieces are gathered until they make a slice.
@safe struct BodyWriter: ~Copyable {
  /// Raw bytes of a frame. Larger slices compress a little better and fall out of the cache.
  static let sliceBytes = 256 << 10

  private let compression: BlockCompression
  private var body: ByteBuffer
  private var pending = ByteBuffer(capacity: 64 << 10)
  private(set) var rawBytes = 0
  private var codec: Codec

  @safe private enum Codec {
    case none
    case lz4(UnsafeMutableRawPointer)
    case zstd(OpaquePointer, level: Int32)
    case zstdStream(OpaquePointer)
    case gzip(UnsafeMutablePointer<z_stream>)
  }

  /// - Parameter capacity: what the body will take, as far as one can guess.
  init(_ compression: BlockCompression, capacity: Int) throws(ClickHouseError) {
    self.compression = compression
    body = ByteBuffer(capacity: capacity)
    codec = try Self.makeCodec(compression)
  }

  deinit {
    switch codec {
    case .none: break
    case .lz4(let state): unsafe state.deallocate()
    case .zstd(let context, _), .zstdStream(let context): unsafe ZSTD_freeCCtx(context)
    case .gzip(let stream):
      unsafe deflateEnd(stream)
      unsafe stream.deallocate()
    }
  }

  private static func makeCodec(_ compression: BlockCompression) throws(ClickHouseError) -> Codec {
    switch compression {
    case .none: return .none
    case .lz4: return unsafe .lz4(.allocate(byteCount: Int(LZ4_sizeofState()), alignment: 16))
    case .zstd(let level):
      guard let context = unsafe ZSTD_createCCtx() else { throw failure("zstd has no memory") }
      return unsafe .zstd(context, level: Int32(clamping: level))
    case .zstdStream(let level):
      guard let context = unsafe ZSTD_createCCtx() else { throw failure("zstd has no memory") }
      unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(clamping: level))
      return unsafe .zstdStream(context)
    case .gzip(let level):
      let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
      unsafe stream.initialize(to: z_stream())
      // 15 bits of window, and 16 more say gzip's head and tail instead of zlib's.
      let status = unsafe deflateInit2_(
        stream, Int32(clamping: level), Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size))
      guard status == Z_OK else {
        unsafe stream.deallocate()
        throw failure("zlib cannot start with level \(level) (\(status))")
      }
      return unsafe .gzip(stream)
    }
  }

  mutating func write(_ piece: borrowing ByteBuffer) throws(ClickHouseError) {
    try unsafe piece.withUnsafeBytes { (bytes) throws(ClickHouseError) in try unsafe write(bytes) }
  }

  private mutating func write(_ bytes: UnsafeRawBufferPointer) throws(ClickHouseError) {
    rawBytes += bytes.count
    switch codec {
    case .none: unsafe body.append(bytes)
    case .gzip(let stream):
      // zlib counts in 32 bits.
      for start in stride(from: 0, to: bytes.count, by: 1 << 30) {
        let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + 1 << 30, bytes.count)])
        try unsafe deflate(stream, piece, flush: Z_NO_FLUSH)
      }
    case .zstdStream(let context): try unsafe compress(context, bytes, end: ZSTD_e_continue)
    case .lz4, .zstd:
      if pending.count + bytes.count < Self.sliceBytes { return unsafe pending.append(bytes) }
      try flushPending()
      var start = 0
      while bytes.count - start >= Self.sliceBytes {
        try unsafe appendFrame(UnsafeRawBufferPointer(rebasing: bytes[start..<start + Self.sliceBytes]))
        start += Self.sliceBytes
      }
      unsafe pending.append(UnsafeRawBufferPointer(rebasing: bytes[start...]))
    }
  }

  /// Everything that was written, compressed.
  consuming func finish() throws(ClickHouseError) -> ByteBuffer {
    try flushPending()
    let nothing = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    switch codec {
    case .gzip(let stream): try unsafe deflate(stream, nothing, flush: Z_FINISH)
    case .zstdStream(let context): try unsafe compress(context, nothing, end: ZSTD_e_end)
    case .none, .lz4, .zstd: break
    }
    var finished = ByteBuffer()
    swap(&finished, &body)
    // It is kept until its insert has landed, and counts by its bytes.
    finished.shrinkToFit()
    return finished
  }

  private mutating func flushPending() throws(ClickHouseError) {
    guard !pending.isEmpty else { return }
    var slice = ByteBuffer()
    swap(&slice, &pending)
    try unsafe slice.withUnsafeBytes { (bytes) throws(ClickHouseError) in try unsafe appendFrame(bytes) }
    slice.removeAll()
    swap(&slice, &pending)
  }

  private mutating func appendFrame(_ raw: UnsafeRawBufferPointer) throws(ClickHouseError) {
    let bound = Self.bound(codec, raw.count)
    let codec = codec
    try unsafe body.append(atMost: FrameHead.byteCount + bound) { (room) throws(ClickHouseError) in
      let target = unsafe UnsafeMutableRawBufferPointer(rebasing: room[FrameHead.byteCount...])
      let count = try unsafe Self.compress(codec, raw, target)
      let method = if case .lz4 = codec { FrameHead.lz4 } else { FrameHead.zstd }
      unsafe FrameHead.write(to: room, method: method, payload: count, raw: raw.count)
      return FrameHead.byteCount + count
    }
  }

  private static func bound(_ codec: Codec, _ count: Int) -> Int {
    if case .lz4 = codec { Int(LZ4_compressBound(Int32(count))) } else { ZSTD_compressBound(count) }
  }

  private static func compress(
    _ codec: Codec, _ raw: UnsafeRawBufferPointer, _ target: UnsafeMutableRawBufferPointer
  ) throws(ClickHouseError) -> Int {
    let source = unsafe raw.assumingMemoryBound(to: CChar.self).baseAddress
    switch codec {
    case .lz4(let state):
      let count = unsafe LZ4_compress_fast_extState(
        state, source, target.assumingMemoryBound(to: CChar.self).baseAddress, Int32(raw.count), Int32(target.count), 1)
      guard count > 0 else { throw failure("LZ4 could not compress \(raw.count) bytes") }
      return Int(count)
    case .zstd(let context, let level):
      let count = unsafe ZSTD_compressCCtx(
        context, target.baseAddress, target.count, raw.baseAddress, raw.count, level)
      guard ZSTD_isError(count) == 0 else {
        throw failure("zstd could not compress \(raw.count) bytes: \(unsafe String(cString: ZSTD_getErrorName(count)))")
      }
      return count
    case .none, .gzip, .zstdStream: preconditionFailure("only LZ4 and ZSTD make frames")
    }
  }

  private mutating func deflate(
    _ stream: UnsafeMutablePointer<z_stream>, _ bytes: UnsafeRawBufferPointer, flush: Int32
  ) throws(ClickHouseError) {
    unsafe stream.pointee.next_in = UnsafeMutablePointer(
      mutating: bytes.assumingMemoryBound(to: UInt8.self).baseAddress)
    unsafe stream.pointee.avail_in = UInt32(bytes.count)
    while true {
      var status = Z_OK
      unsafe body.append(atMost: Self.sliceBytes) { room in
        unsafe stream.pointee.next_out = room.assumingMemoryBound(to: UInt8.self).baseAddress
        unsafe stream.pointee.avail_out = UInt32(room.count)
        status = unsafe CSinkZlib.deflate(stream, flush)
        return room.count - Int(unsafe stream.pointee.avail_out)
      }
      guard status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR else {
        throw Self.failure("zlib could not compress (\(status))")
      }
      let isDone = unsafe flush == Z_FINISH ? status == Z_STREAM_END : stream.pointee.avail_out > 0
      if isDone { return }
    }
  }

  private mutating func compress(
    _ context: OpaquePointer, _ bytes: UnsafeRawBufferPointer, end: ZSTD_EndDirective
  ) throws(ClickHouseError) {
    var input = unsafe ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
    while true {
      var left = 0
      unsafe body.append(atMost: Self.sliceBytes) { room in
        var output = unsafe ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
        left = unsafe ZSTD_compressStream2(context, &output, &input, end)
        return unsafe output.pos
      }
      guard ZSTD_isError(left) == 0 else {
        throw Self.failure("zstd could not compress: \(unsafe String(cString: ZSTD_getErrorName(left)))")
      }
      let isDone = unsafe end == ZSTD_e_end ? left == 0 : input.pos == input.size
      if isDone { return }
    }
  }

  private static func failure(_ message: String) -> ClickHouseError {
    ClickHouseError(code: .compression, message: message)
  }
}

/// The 25 bytes before a frame's payload.
///
/// Source: ClickHouse, `CompressedWriteBuffer` and `CompressionInfo.h`.
enum FrameHead {
  static let checksumBytes = 16
  /// Method and two sizes: the first of them counts these nine bytes too.
  static let infoBytes = 9
  static let byteCount = checksumBytes + infoBytes
  static let none: UInt8 = 0x02
  static let lz4: UInt8 = 0x82
  static let zstd: UInt8 = 0x90
  /// The server refuses more; so do we.
  static let limitBytes = 1 << 30

  /// `room` begins with the head's place and goes on with the payload.
  static func write(to room: UnsafeMutableRawBufferPointer, method: UInt8, payload: Int, raw: Int) {
    let base = unsafe room.baseAddress! + checksumBytes
    unsafe base.storeBytes(of: method, as: UInt8.self)
    unsafe base.storeBytes(of: UInt32(infoBytes + payload).littleEndian, toByteOffset: 1, as: UInt32.self)
    unsafe base.storeBytes(of: UInt32(raw).littleEndian, toByteOffset: 5, as: UInt32.self)
    let hash = unsafe CityHash128.hash(UnsafeRawBufferPointer(start: base, count: infoBytes + payload))
    unsafe room.baseAddress!.storeBytes(of: hash.low.littleEndian, as: UInt64.self)
    unsafe room.baseAddress!.storeBytes(of: hash.high.littleEndian, toByteOffset: 8, as: UInt64.self)
  }
}
