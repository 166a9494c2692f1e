/// UUIDs and addresses, read from their text. nil where the text is none.
public enum IdentifierText {
  /// `8-4-4-4-12` hexadecimal digits, or 32 without hyphens; the halves as they are written.
  public static func uuid(_ bytes: UnsafeRawBufferPointer) -> (high: UInt64, low: UInt64)? {
    guard let base = bytes.baseAddress else { return nil }
    if bytes.count == 36 { return unsafe hyphenedUUID(base) }
    guard bytes.count == 32 else { return nil }
    return unsafe joined(word(base, 0), word(base, 8), word(base, 16), word(base, 24))
  }

  /// From 36 readable bytes.
  @inlinable @inline(__always) static func hyphenedUUID(_ base: UnsafeRawPointer) -> (high: UInt64, low: UInt64)? {
    let hyphens = unsafe (
      base.load(fromByteOffset: 8, as: UInt8.self), base.load(fromByteOffset: 13, as: UInt8.self),
      base.load(fromByteOffset: 18, as: UInt8.self), base.load(fromByteOffset: 23, as: UInt8.self)
    )
    guard hyphens == (0x2D, 0x2D, 0x2D, 0x2D) else { return nil }
    return unsafe joined(word(base, 0), pair(base, 9, 14), pair(base, 19, 24), word(base, 28))
  }

  @inlinable @inline(__always) static func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
  }

  @inlinable @inline(__always) static func pair(_ base: UnsafeRawPointer, _ first: Int, _ second: Int) -> UInt64 {
    unsafe UInt64(base.loadUnaligned(fromByteOffset: first, as: UInt32.self))
      | UInt64(base.loadUnaligned(fromByteOffset: second, as: UInt32.self)) << 32
  }

  @inlinable @inline(__always) static func joined(
    _ a: UInt64, _ b: UInt64, _ c: UInt64, _ d: UInt64
  ) -> (high: UInt64, low: UInt64)? {
    guard Hex.isEightDigits(a), Hex.isEightDigits(b), Hex.isEightDigits(c), Hex.isEightDigits(d) else { return nil }
    return (Hex.eightDigits(a) << 32 | Hex.eightDigits(b), Hex.eightDigits(c) << 32 | Hex.eightDigits(d))
  }

  /// Four decimal numbers; no leading zeros, which some read as octal.
  public static func ipv4(_ bytes: UnsafeRawBufferPointer) -> UInt32? {
    var address: UInt32 = 0
    var part: UInt32 = 0
    var digits = 0
    var parts = 0
    for index in 0...bytes.count {
      let byte = index < bytes.count ? unsafe bytes[index] : 0x2E
      if byte == 0x2E {
        guard digits > 0, parts < 4 else { return nil }
        address = address << 8 | part
        parts += 1
        (part, digits) = (0, 0)
        continue
      }
      let digit = byte &- 0x30
      guard digit <= 9, digits < 3, digits == 0 || part > 0 else { return nil }
      part = part * 10 + UInt32(digit)
      digits += 1
      guard part <= 255 else { return nil }
    }
    return parts == 4 ? address : nil
  }

  /// RFC 4291's text, `::` and a dotted end included, as 16 bytes in network order; an IPv4 address becomes `::ffff:…`.
  public static func ipv6(_ bytes: UnsafeRawBufferPointer) -> UInt128? {
    if let mapped = unsafe ipv4(bytes) { return UInt128(0xFFFF) << 32 | UInt128(mapped) }
    // The groups before `::`, and those after it.
    var head: (value: UInt128, count: Int) = (0, 0)
    var tail: (value: UInt128, count: Int)?
    func append(_ bits: UInt128, groups: Int) {
      if let known = tail {
        tail = (known.value << (16 * groups) | bits, known.count + groups)
      } else {
        head = (head.value << (16 * groups) | bits, head.count + groups)
      }
    }
    var at = 0
    if bytes.count >= 2, unsafe bytes[0] == 0x3A {
      guard unsafe bytes[1] == 0x3A else { return nil }
      tail = (0, 0)
      at = 2
    }
    while at < bytes.count {
      let start = at
      var group: UInt32 = 0
      while at < bytes.count, at - start <= 4, let digit = unsafe Hex.value(bytes[at]) {
        group = group << 4 | UInt32(digit)
        at += 1
      }
      if at < bytes.count, unsafe bytes[at] == 0x2E {
        guard let dotted = unsafe ipv4(UnsafeRawBufferPointer(rebasing: bytes[start...])) else { return nil }
        append(UInt128(dotted), groups: 2)
        break
      }
      guard at > start, at - start <= 4 else { return nil }
      append(UInt128(group), groups: 1)
      guard at < bytes.count else { break }
      guard unsafe bytes[at] == 0x3A else { return nil }
      at += 1
      guard at < bytes.count else { return nil }
      if unsafe bytes[at] == 0x3A {
        guard tail == nil else { return nil }
        tail = (0, 0)
        at += 1
      }
    }
    guard let tail else { return head.count == 8 ? head.value : nil }
    guard head.count + tail.count < 8 else { return nil }
    return head.value << (16 * (8 - head.count)) | tail.value
  }
}
