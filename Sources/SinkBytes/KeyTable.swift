/// Finds a number by a name's bytes: field names, the names of an enum. Made once, read by the record loop without
/// allocating.
@safe public final class KeyTable: @unchecked Sendable {
  // Sendable: filled in the initialiser, only read after.
  @frozen @usableFromInline struct Slot {
    @usableFromInline var hash: UInt64
    @usableFromInline var start: Int32
    @usableFromInline var count: Int32
    /// -1 for an empty slot.
    @usableFromInline var value: Int32
  }

  @usableFromInline let slots: UnsafeMutablePointer<Slot>
  @usableFromInline let mask: Int
  @usableFromInline let names: UnsafeMutablePointer<UInt8>

  /// Names are numbered in their order; they must differ.
  public init(_ keys: [String]) {
    var size = 8
    while size < keys.count * 2 { size *= 2 }
    mask = size - 1
    unsafe slots = .allocate(capacity: size)
    unsafe slots.initialize(repeating: Slot(hash: 0, start: 0, count: 0, value: -1), count: size)
    unsafe names = .allocate(capacity: max(1, keys.reduce(0) { $0 + $1.utf8.count }))
    var start = 0
    for (value, key) in keys.enumerated() {
      let count = key.utf8.count
      for (index, byte) in key.utf8.enumerated() { unsafe (names + start + index).initialize(to: byte) }
      let bytes = unsafe UnsafeRawBufferPointer(start: names + start, count: count)
      precondition(unsafe find(bytes) < 0, "the key '\(key)' stands twice")
      let hash = unsafe Self.hash(bytes)
      var place = Int(truncatingIfNeeded: hash) & mask
      while unsafe slots[place].value >= 0 { place = (place + 1) & mask }
      unsafe slots[place] = Slot(hash: hash, start: Int32(start), count: Int32(count), value: Int32(value))
      start += count
    }
  }

  deinit {
    unsafe slots.deallocate()
    unsafe names.deallocate()
  }

  /// The key's number, or -1.
  @inlinable public func find(_ bytes: UnsafeRawBufferPointer) -> Int32 {
    let hash = unsafe Self.hash(bytes)
    var place = Int(truncatingIfNeeded: hash) & mask
    while true {
      let slot = unsafe slots[place]
      if slot.value < 0 { return -1 }
      if slot.hash == hash, Int(slot.count) == bytes.count,
        unsafe Self.equal(bytes, UnsafeRawPointer(names) + Int(slot.start))
      {
        return slot.value
      }
      place = (place + 1) & mask
    }
  }

  @inlinable public static func equal(_ bytes: UnsafeRawBufferPointer, _ other: UnsafeRawPointer) -> Bool {
    guard let base = bytes.baseAddress else { return true }
    let count = bytes.count
    var at = 0
    while count - at >= 8 {
      guard
        unsafe base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
          == other.loadUnaligned(fromByteOffset: at, as: UInt64.self)
      else { return false }
      at += 8
    }
    while at < count {
      guard unsafe base.load(fromByteOffset: at, as: UInt8.self) == other.load(fromByteOffset: at, as: UInt8.self)
      else {
        return false
      }
      at += 1
    }
    return true
  }

  /// Mixes eight bytes at a time. The tables are small and their names are the operator's, not the sender's.
  @inlinable static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash = UInt64(truncatingIfNeeded: bytes.count) &* 0x9E37_79B9_7F4A_7C15
    guard let base = bytes.baseAddress else { return hash }
    var at = 0
    while bytes.count - at >= 8 {
      hash = (hash ^ (unsafe base.loadUnaligned(fromByteOffset: at, as: UInt64.self))) &* 0xFF51_AFD7_ED55_8CCD
      hash ^= hash >> 32
      at += 8
    }
    while at < bytes.count {
      hash = (hash ^ UInt64(unsafe base.load(fromByteOffset: at, as: UInt8.self))) &* 0xFF51_AFD7_ED55_8CCD
      hash ^= hash >> 32
      at += 1
    }
    return hash
  }
}
