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

  /// The bytes from an earlier offset up to here.
  @inlinable public func bytes(from offset: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: start + offset, count: self.offset - offset)
  }

  /// Everything from an offset on, to show a value that could not be read.
  @inlinable public func rest(from offset: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: start + offset, count: end - start - offset)
  }

  @inlinable public mutating func skipWhitespace() {
    while unsafe next < end {
      let byte = unsafe next.pointee
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
      unsafe next += 1
    }
  }

  /// The next byte after white space, 0 at the end: no JSON text holds a 0 there.
  @inlinable public mutating func peek() -> UInt8 {
    // Compact JSON has no white space: look first.
    if unsafe next < end, unsafe next.pointee > 0x20 { return unsafe next.pointee }
    skipWhitespace()
    return unsafe next < end ? next.pointee : 0
  }

  /// Passes the byte that `peek` has shown.
  @inlinable public mutating func pass() { unsafe next += 1 }

  /// Passes this byte, after white space.
  @inlinable public mutating func expect(_ byte: UInt8) throws(JSONError) {
    guard peek() == byte else { throw unsafe next < end ? .unexpected : .truncated }
    unsafe next += 1
  }

  /// After a member or element: true for a comma, false for the closing byte.
  @inlinable public mutating func more(until closing: UInt8) throws(JSONError) -> Bool {
    let byte = peek()
    guard byte == 0x2C || byte == closing else { throw unsafe next < end ? .unexpected : .truncated }
    unsafe next += 1
    return byte == 0x2C
  }

  /// Only white space may follow.
  @inlinable public mutating func finish() throws(JSONError) {
    skipWhitespace()
    guard unsafe next == end else { throw .trailing }
  }

  /// `true`, `false`, `null`: the bytes of the word must be there.
  @inlinable public mutating func literal(_ word: StaticString) throws(JSONError) {
    let count = word.utf8CodeUnitCount
    guard unsafe end - next >= count else { throw .truncated }
    for index in 0..<count {
      guard unsafe next[index] == word.utf8Start[index] else { throw .unexpected }
    }
    unsafe next += count
  }
}
