/// Walks over the bytes of one JSON text, strictly by RFC 8259, without copying or allocating.
///
/// It borrows the bytes: whoever makes one keeps them alive and still. Each step checks what it passes, so that a text
/// that was walked to its end is JSON throughout, UTF-8 and the parts that nobody wanted included.
@frozen @safe public struct JSONCursor {
  @usableFromInline var next: UnsafePointer<UInt8>
  @usableFromInline let end: UnsafePointer<UInt8>
  @usableFromInline let start: UnsafePointer<UInt8>

  @inlinable public init(_ bytes: UnsafeRawBufferPointer) {
    // An empty buffer may have no address; any address does for reading nothing.
    let base = unsafe bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
    unsafe start = base.assumingMemoryBound(to: UInt8.self)
    unsafe next = start
    unsafe end = start + bytes.count
  }

  /// Where the cursor stands, for telling about it later.
  @inlinable public var offset: Int { unsafe next - start }

  @inlinable public var isAtEnd: Bool { unsafe next == end }

  /// The bytes from an earlier offset up to here.
  @inlinable public func bytes(from offset: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: start + offset, count: self.offset - offset)
  }

  @inlinable public mutating func skipWhitespace() {
    while unsafe next < end {
      let byte = unsafe next.pointee
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
      unsafe next += 1
    }
  }

  /// The next byte after white space, 0 at the end: no JSON text holds a 0 there.
  @inlinable @inline(__always) public mutating func peek() -> UInt8 {
    // Compact JSON has no white space: look first.
    if unsafe next < end, unsafe next.pointee > 0x20 { return unsafe next.pointee }
    return peekSlowly()
  }

  @inline(never) @usableFromInline mutating func peekSlowly() -> UInt8 {
    skipWhitespace()
    return unsafe next < end ? next.pointee : 0
  }

  /// Passes the byte that `peek` has shown.
  @inlinable @inline(__always) public mutating func pass() { unsafe next += 1 }

  /// Passes these bytes where they stand right here and at least eight bytes are left; else stays where it is.
  ///
  /// For the token `,"name":` that a reader foresees: one or two comparisons instead of a string and a look-up.
  /// - Parameter token: `count` bytes with at least eight readable ones from its start.
  @inlinable @inline(__always) public mutating func pass(token: UnsafeRawPointer, count: Int) -> Bool {
    let here = unsafe UnsafeRawPointer(next)
    let left = unsafe end - next
    guard left >= 8, left >= count else { return false }
    let difference = unsafe here.loadUnaligned(as: UInt64.self) ^ token.loadUnaligned(as: UInt64.self)
    if count < 8 {
      // The bytes behind the token are the upper ones.
      guard difference << UInt64(truncatingIfNeeded: (8 &- count) &* 8) == 0 else { return false }
    } else {
      guard difference == 0 else { return false }
      var at = 8
      while at < count {
        // The last step overlaps with the one before it.
        let place = min(at, count &- 8)
        guard
          unsafe here.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            == token.loadUnaligned(fromByteOffset: place, as: UInt64.self)
        else { return false }
        at &+= 8
      }
    }
    unsafe next += count
    return true
  }

  /// Passes this byte, after white space.
  @inlinable @inline(__always) public mutating func expect(_ byte: UInt8) throws(JSONError) {
    guard peek() == byte else { throw wrongByte }
    unsafe next += 1
  }

  /// After a member or element: true for a comma, false for the closing byte.
  @inlinable @inline(__always) public mutating func more(until closing: UInt8) throws(JSONError) -> Bool {
    let byte = peek()
    guard byte == 0x2C || byte == closing else { throw wrongByte }
    unsafe next += 1
    return byte == 0x2C
  }

  @usableFromInline var wrongByte: JSONError { unsafe next < end ? .unexpected : .truncated }

  /// Only white space may follow.
  @inlinable public mutating func finish() throws(JSONError) {
    skipWhitespace()
    guard unsafe next == end else { throw .trailing }
  }

  /// `true`, `false`, `null`: the bytes of the word must be there.
  @inlinable public mutating func literal(_ word: StaticString) throws(JSONError) {
    let count = word.utf8CodeUnitCount
    for index in 0..<count {
      guard unsafe end - next > index else { throw .truncated }
      guard unsafe next[index] == word.utf8Start[index] else { throw .unexpected }
    }
    unsafe next += count
  }
}
