/// CityHash128 as ClickHouse's compressed frames carry it: version 1.0.2, which later versions do not agree with.
public enum CityHash128 {
  private static let k0: UInt64 = 0xC3A5_C85C_97CB_3127
  private static let k1: UInt64 = 0xB492_B66F_BE98_F273
  private static let k2: UInt64 = 0x9AE1_6A3B_2F90_404F
  private static let k3: UInt64 = 0xC949_D7C7_509E_6557

  private typealias Pair = (first: UInt64, second: UInt64)

  public static func hash(_ bytes: UnsafeRawBufferPointer) -> (low: UInt64, high: UInt64) {
    let count = bytes.count
    guard let base = bytes.baseAddress, count >= 8 else {
      return unsafe seeded(bytes.baseAddress, count, (k0, k1))
    }
    if count >= 16 {
      return unsafe seeded(base + 16, count - 16, (word(base, 0) ^ k3, word(base, 8)))
    }
    let seed = unsafe (word(base, 0) ^ (UInt64(count) &* k0), word(base, count - 8) ^ k1)
    return unsafe seeded(nil, 0, seed)
  }

  @inline(__always)
  private static func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
  }

  @inline(__always)
  private static func rotate(_ value: UInt64, _ shift: UInt64) -> UInt64 { value >> shift | value << (64 &- shift) }

  @inline(__always)
  private static func mix(_ value: UInt64) -> UInt64 { value ^ (value >> 47) }

  private static func hash16(_ low: UInt64, _ high: UInt64) -> UInt64 {
    let multiplier: UInt64 = 0x9DDF_EA08_EB38_2D69
    let first = mix((low ^ high) &* multiplier)
    return mix((high ^ first) &* multiplier) &* multiplier
  }

  private static func short(_ base: UnsafeRawPointer?, _ count: Int) -> UInt64 {
    guard let base = unsafe base, count > 0 else { return k2 }
    if count > 8 {
      let last = unsafe word(base, count - 8)
      return hash16(unsafe word(base, 0), rotate(last &+ UInt64(count), UInt64(count))) ^ last
    }
    if count >= 4 {
      let first = UInt64(unsafe base.loadUnaligned(as: UInt32.self))
      let last = UInt64(unsafe base.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self))
      return hash16(UInt64(count) &+ (first << 3), last)
    }
    let (a, b, c) = unsafe (
      base.load(as: UInt8.self), base.load(fromByteOffset: count >> 1, as: UInt8.self),
      base.load(fromByteOffset: count - 1, as: UInt8.self)
    )
    let y = UInt64(a) &+ UInt64(b) << 8
    let z = UInt64(count) &+ UInt64(c) << 2
    return mix(y &* k2 ^ z &* k3) &* k2
  }

  @inline(__always)
  private static func weak(_ base: UnsafeRawPointer, _ offset: Int, _ seedA: UInt64, _ seedB: UInt64) -> Pair {
    let (w, x, y, z) = unsafe (
      word(base, offset), word(base, offset + 8), word(base, offset + 16), word(base, offset + 24)
    )
    var a = seedA &+ w
    var b = rotate(seedB &+ a &+ z, 21)
    let c = a
    a = a &+ x &+ y
    b = b &+ rotate(a, 44)
    return (a &+ z, b &+ c)
  }

  /// For fewer than 128 bytes.
  private static func murmur(_ base: UnsafeRawPointer?, _ count: Int, _ seed: Pair) -> (low: UInt64, high: UInt64) {
    var a = seed.first
    var b = seed.second
    var c: UInt64
    var d: UInt64
    if let base = unsafe base, count > 16 {
      c = hash16(unsafe word(base, count - 8) &+ k1, a)
      d = hash16(b &+ UInt64(count), c &+ (unsafe word(base, count - 16)))
      a = a &+ d
      var offset = 0
      repeat {
        a = (a ^ mix(unsafe word(base, offset) &* k1) &* k1) &* k1
        b ^= a
        c = (c ^ mix(unsafe word(base, offset + 8) &* k1) &* k1) &* k1
        d ^= c
        offset += 16
      } while count - 16 - offset > 0
    } else {
      a = mix(a &* k1) &* k1
      c = b &* k1 &+ (unsafe short(base, count))
      d = mix(a &+ (count >= 8 ? unsafe word(base!, 0) : c))
    }
    a = hash16(a, c)
    b = hash16(d, b)
    return (a ^ b, hash16(b, a))
  }

  private static func seeded(_ base: UnsafeRawPointer?, _ count: Int, _ seed: Pair) -> (low: UInt64, high: UInt64) {
    guard let base = unsafe base, count >= 128 else { return unsafe murmur(base, count, seed) }
    var x = seed.first
    var y = seed.second
    var z = UInt64(count) &* k1
    var v: Pair
    var w: Pair
    v.first = rotate(y ^ k1, 49) &* k1 &+ (unsafe word(base, 0))
    v.second = rotate(v.first, 42) &* k1 &+ (unsafe word(base, 8))
    w.first = rotate(y &+ z, 35) &* k1 &+ x
    w.second = rotate(x &+ (unsafe word(base, 88)), 53) &* k1
    var offset = 0
    while count - offset >= 128 {
      for _ in 0..<2 {
        x = rotate(x &+ y &+ v.first &+ (unsafe word(base, offset + 16)), 37) &* k1
        y = rotate(y &+ v.second &+ (unsafe word(base, offset + 48)), 42) &* k1
        x ^= w.second
        y ^= v.first
        z = rotate(z ^ w.first, 33)
        v = unsafe weak(base, offset, v.second &* k1, x &+ w.first)
        w = unsafe weak(base, offset + 32, z &+ w.second, y)
        swap(&z, &x)
        offset += 64
      }
    }
    y = y &+ rotate(w.first, 37) &* k0 &+ z
    x = x &+ rotate(v.first &+ z, 49) &* k0
    // Up to four pieces of 32 bytes from the end; they may reach back into what was hashed.
    let left = count - offset
    var done = 0
    while done < left {
      done += 32
      y = rotate(y &- x, 42) &* k0 &+ v.second
      w.first = w.first &+ (unsafe word(base, offset + left - done + 16))
      x = rotate(x, 49) &* k0 &+ w.first
      w.first = w.first &+ v.first
      v = unsafe weak(base, offset + left - done, v.first, v.second)
    }
    x = hash16(x, v.first)
    y = hash16(y, w.first)
    return (hash16(x &+ v.second, w.second) &+ y, hash16(x &+ w.second, y &+ v.second))
  }
}
