internal import CSinkLibc

/// Bytes that grow at the end, on the heap, owned by one value: no reference count, no exclusivity check, no copy on write.
///
/// The record loop appends to columns of these. `reserve` is the only part that may allocate; `removeAll` keeps the
/// capacity, so a buffer that is used again and again settles.
@frozen @safe public struct ByteBuffer: ~Copyable, @unchecked Sendable {
  // Sendable: the memory has exactly one owner, and the owner moves.
  @usableFromInline var base: UnsafeMutableRawPointer
  @usableFromInline var used: Int
  @usableFromInline var room: Int

  public init(capacity: Int = 0) {
    precondition(capacity >= 0)
    unsafe base = Self.resized(nil, to: capacity)
    used = 0
    room = capacity
  }

  deinit { unsafe free(base) }

  /// Bytes in use.
  public var count: Int { @inlinable get { used } }
  /// Bytes that fit without another allocation.
  public var capacity: Int { @inlinable get { room } }
  public var isEmpty: Bool { @inlinable get { count == 0 } }

  /// The bytes in use, borrowed.
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    @inlinable get {
      let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(base), byteCount: used)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Makes room for `more` bytes beyond `count`.
  @inlinable public mutating func reserve(_ more: Int) {
    if room &- used < more { grow(more) }
  }

  /// By half at a time: a block's capacity counts against the memory budget.
  @inline(never) @usableFromInline mutating func grow(_ more: Int) {
    precondition(more >= 0)
    let wanted = max(used + more, room + room / 2, 64)
    unsafe base = Self.resized(base, to: wanted)
    room = wanted
  }

  /// Gives back what lies behind the bytes in use, for a buffer that will not grow again.
  public mutating func shrinkToFit() {
    unsafe base = Self.resized(base, to: used)
    room = used
  }

  /// The C library's own: it grows and shrinks large pieces by moving pages, without a copy and without both at once.
  private static func resized(_ base: UnsafeMutableRawPointer?, to capacity: Int) -> UnsafeMutableRawPointer {
    guard let base = unsafe realloc(base, max(capacity, 1)) else { fatalError("no memory for \(capacity) bytes") }
    return unsafe base
  }

  /// Appends the value's bytes as they lie in memory, which is little endian on every machine that Swift on Linux runs on.
  @inlinable public mutating func append<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
    reserve(MemoryLayout<T>.size)
    unsafe base.storeBytes(of: value.littleEndian, toByteOffset: used, as: T.self)
    used &+= MemoryLayout<T>.size
  }

  @inlinable public mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress, bytes.count > 0 else { return }
    reserve(bytes.count)
    unsafe (base + used).copyMemory(from: source, byteCount: bytes.count)
    used &+= bytes.count
  }

  @inlinable public mutating func append(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { unsafe append($0) }
  }

  @inlinable public mutating func append(utf8 text: borrowing String) {
    unsafe append(text.utf8Span.span.bytes)
  }

  @inlinable public mutating func append(repeating byte: UInt8, count more: Int) {
    reserve(more)
    unsafe (base + used).initializeMemory(as: UInt8.self, repeating: byte, count: more)
    used &+= more
  }

  /// ClickHouse's and Protobuf's variable-length integer: seven bits a byte, the low ones first.
  @inlinable public mutating func append(varUInt value: UInt64) {
    reserve(10)
    var rest = value
    while rest >= 0x80 {
      unsafe base.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: used, as: UInt8.self)
      used &+= 1
      rest >>= 7
    }
    unsafe base.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: used, as: UInt8.self)
    used &+= 1
  }

  /// Lets `body` write into `more` fresh bytes; it returns how many of them it used.
  @inlinable public mutating func append<Failure: Error>(
    atMost more: Int, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Int
  ) throws(Failure) {
    reserve(more)
    let written = try unsafe body(UnsafeMutableRawBufferPointer(start: base + used, count: more))
    precondition(written >= 0 && written <= more)
    used &+= written
  }

  /// Overwrites bytes that are already in use.
  @inlinable public mutating func overwrite<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
    precondition(offset >= 0 && offset + MemoryLayout<T>.size <= used)
    unsafe base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
  }

  /// Forgets the bytes after the first `newCount`; the capacity stays.
  @inlinable public mutating func truncate(to newCount: Int) {
    precondition(newCount >= 0 && newCount <= used)
    used = newCount
  }

  @inlinable public mutating func removeAll() { used = 0 }

  /// Gives memory back where more than `limitBytes` lies unused after a peak.
  public mutating func shrink(toCapacity limitBytes: Int) {
    guard capacity > limitBytes, count == 0 else { return }
    self = ByteBuffer(capacity: limitBytes)
  }

  @inlinable public borrowing func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe body(UnsafeRawBufferPointer(start: base, count: used))
  }
}
