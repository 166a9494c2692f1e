internal import Glibc
internal import SinkBytes

/// The keys of a `LowCardinality` column and a table that finds them: open addressing over their bytes, without an
/// allocation per row once the keys have been seen.
///
/// Number 0 is the type's default, or NULL where the keys are `Nullable`; the keys lie as Native sends them.
@safe @usableFromInline struct ColumnDictionary: ~Copyable {
  /// 0 where the keys are strings, which carry their length.
  let keyWidth: Int
  let isNullable: Bool
  let keyType: ColumnType
  var keys: ByteBuffer
  /// Place and length of each key in `keys`, two `Int`s.
  var entries: ByteBuffer
  var count = 0
  /// Hash in the upper half, number + 1 in the lower; 0 is an empty slot. A power of two of them.
  var slots: UnsafeMutablePointer<UInt64>
  var slotCount: Int
  /// Records come from outside: without a seed, chosen keys could all fall into one slot.
  let seed = UInt64.random(in: .min ... .max)

  static let smallestSlotCount = 64

  init(_ key: ColumnType) {
    isNullable = key.acceptsNull
    keyType = key.unwrapped
    keyWidth = keyType.fixedWidth ?? 0
    keys = ByteBuffer(capacity: 256)
    entries = ByteBuffer(capacity: 256)
    slotCount = Self.smallestSlotCount
    unsafe slots = UnsafeMutablePointer<UInt64>.allocate(capacity: slotCount)
    unsafe slots.initialize(repeating: 0, count: slotCount)
    insertDefault()
  }

  deinit { unsafe slots.deallocate() }

  var capacityBytes: Int { keys.capacity + entries.capacity + slotCount * 8 }

  /// The number of a key, which is added where it is new.
  mutating func index(of key: UnsafeRawBufferPointer) -> Int {
    let hash = unsafe Self.hash(key, seed: seed)
    let mask = slotCount - 1
    var slot = Int(truncatingIfNeeded: hash >> 32) & mask
    while true {
      let entry = unsafe slots[slot]
      if entry == 0 { break }
      if entry >> 32 == hash >> 32 {
        let index = Int(entry & 0xffff_ffff) - 1
        if unsafe self.key(index, equals: key) { return index }
      }
      slot = (slot + 1) & mask
    }
    let index = count
    unsafe slots[slot] = (hash >> 32) << 32 | UInt64(index + 1)
    unsafe appendEntry(key)
    if count * 2 > slotCount { growSlots() }
    return index
  }

  /// Adds a key that a server sent, whether or not the table has it: its number is its place.
  mutating func appendEntry(_ key: UnsafeRawBufferPointer) {
    precondition(count < Int(UInt32.max) - 1, "a dictionary of \(count) keys")
    if keyWidth == 0 { unsafe keys.append(string: key) } else { unsafe keys.append(key) }
    entries.append(keys.count - key.count)
    entries.append(key.count)
    count += 1
  }

  func withKey<Result>(_ index: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    let (start, length) = place(index)
    return unsafe keys.withUnsafeBytes { unsafe body(UnsafeRawBufferPointer(rebasing: $0[start..<start + length])) }
  }

  /// Without any key, not even the default: what a server sends has its own.
  mutating func removeAllForReading() {
    keys.removeAll()
    entries.removeAll()
    count = 0
  }

  mutating func removeAll(keepingAtMost limitBytes: Int) {
    removeAllForReading()
    keys.shrink(toCapacity: limitBytes)
    entries.shrink(toCapacity: limitBytes)
    if slotCount * 8 > limitBytes {
      slotCount = Self.smallestSlotCount
      unsafe slots.deallocate()
      unsafe slots = UnsafeMutablePointer<UInt64>.allocate(capacity: slotCount)
    }
    unsafe slots.initialize(repeating: 0, count: slotCount)
    insertDefault()
  }

  private mutating func insertDefault() {
    var bytes = [UInt8](repeating: 0, count: keyWidth)
    for index in bytes.indices where index < 8 {
      bytes[index] = UInt8(truncatingIfNeeded: keyType.defaultBits >> UInt64(index * 8))
    }
    // A value never finds NULL; it does find the default.
    unsafe bytes.withUnsafeBytes { if isNullable { unsafe appendEntry($0) } else { _ = unsafe index(of: $0) } }
  }

  private func key(_ index: Int, equals key: UnsafeRawBufferPointer) -> Bool {
    let (start, length) = place(index)
    guard length == key.count else { return false }
    guard let wanted = key.baseAddress else { return true }
    return unsafe keys.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return false }
      return unsafe memcmp(base + start, wanted, length) == 0
    }
  }

  private mutating func growSlots() {
    let (old, oldCount) = unsafe (slots, slotCount)
    slotCount *= 2
    unsafe slots = UnsafeMutablePointer<UInt64>.allocate(capacity: slotCount)
    unsafe slots.initialize(repeating: 0, count: slotCount)
    for index in 0..<oldCount {
      let entry = unsafe old[index]
      if entry == 0 { continue }
      var slot = Int(truncatingIfNeeded: entry >> 32) & (slotCount - 1)
      while unsafe slots[slot] != 0 { slot = (slot + 1) & (slotCount - 1) }
      unsafe slots[slot] = entry
    }
    unsafe old.deallocate()
  }

  private func place(_ index: Int) -> (start: Int, length: Int) {
    precondition(index >= 0 && index < count, "key \(index) of \(count)")
    return unsafe entries.withUnsafeBytes { bytes in
      unsafe (
        bytes.loadUnaligned(fromByteOffset: index * 16, as: Int.self),
        bytes.loadUnaligned(fromByteOffset: index * 16 + 8, as: Int.self)
      )
    }
  }

  /// Folded 64-bit multiplications, eight bytes at a time; the last eight overlap.
  static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
    guard let base = bytes.baseAddress else { return fold(seed, 0x9e37_79b9_7f4a_7c15) }
    let count = bytes.count
    var state = seed ^ UInt64(truncatingIfNeeded: count)
    if count >= 8 {
      var offset = 0
      while offset < count - 8 {
        state = fold(
          state ^ (unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)), 0x9e37_79b9_7f4a_7c15)
        offset += 8
      }
      return fold(
        state ^ (unsafe base.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)), 0xd6e8_feb8_6659_fd93)
    }
    if count >= 4 {
      let low = unsafe base.loadUnaligned(as: UInt32.self)
      let high = unsafe base.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)
      return fold(state ^ (UInt64(high) << 32 | UInt64(low)), 0xd6e8_feb8_6659_fd93)
    }
    var short: UInt64 = 0
    for index in 0..<count { short = short << 8 | UInt64(unsafe bytes[index]) }
    return fold(state ^ short, 0xd6e8_feb8_6659_fd93)
  }

  private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
  }
}
