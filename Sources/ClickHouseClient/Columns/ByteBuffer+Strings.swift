public import SinkBytes

extension ByteBuffer {
  /// A string as Native has it: its length as a variable-length integer, then its bytes.
  @inlinable mutating func append(string bytes: UnsafeRawBufferPointer) {
    let count = bytes.count
    // Nearly all strings are short: one byte of length, and no call to copy up to 32 bytes.
    if count < 0x80 {
      unsafe append(atMost: count &+ 1) { room in
        guard let target = room.baseAddress else { return 0 }
        unsafe target.storeBytes(of: UInt8(truncatingIfNeeded: count), as: UInt8.self)
        if let source = bytes.baseAddress { unsafe copyBytes(source, to: target + 1, count: count) }
        return count &+ 1
      }
    } else {
      append(varUInt: UInt64(truncatingIfNeeded: count))
      unsafe append(bytes)
    }
  }
}

/// `memcpy` for short texts: two overlapping loads and stores instead of a call.
@inlinable @inline(__always)
func copyBytes(_ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, count: Int) {
  if count > 32 {
    unsafe target.copyMemory(from: source, byteCount: count)
  } else if count >= 16 {
    unsafe copyEnds(source, to: target, count: count, as: SIMD2<UInt64>.self)
  } else if count >= 8 {
    unsafe copyEnds(source, to: target, count: count, as: UInt64.self)
  } else if count >= 4 {
    unsafe copyEnds(source, to: target, count: count, as: UInt32.self)
  } else if count > 0 {
    unsafe target.storeBytes(of: source.load(as: UInt8.self), as: UInt8.self)
    if count > 1 { unsafe copyEnds(source, to: target, count: count, as: UInt16.self) }
  }
}

/// Copies the first and the last bytes, as many as a `T` has; they meet or overlap in the middle.
@inlinable @inline(__always)
func copyEnds<T: BitwiseCopyable>(
  _ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, count: Int, as type: T.Type
) {
  let last = count &- MemoryLayout<T>.size
  let (head, tail) = unsafe (
    source.loadUnaligned(as: T.self), source.loadUnaligned(fromByteOffset: last, as: T.self)
  )
  unsafe target.storeBytes(of: head, as: T.self)
  unsafe target.storeBytes(of: tail, toByteOffset: last, as: T.self)
}
