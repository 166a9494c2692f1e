/// A multiset of offsets in three numbers, which a server can compute for its side: with equal numbers the offsets are the
/// same, each as often, but for a chance of one in 2⁶⁴. Adding up two of them is the union of both multisets.
struct OffsetFingerprint: Sendable, Equatable {
  var count = 0
  /// Of the hashes, modulo 2⁶⁴.
  var sum: UInt64 = 0
  var xor: UInt64 = 0

  mutating func insert(_ offset: Int64) {
    let hash = Self.hash(offset)
    count += 1
    sum &+= hash
    xor ^= hash
  }

  static func + (left: Self, right: Self) -> Self {
    Self(count: left.count + right.count, sum: left.sum &+ right.sum, xor: left.xor ^ right.xor)
  }

  /// ClickHouse's `intHash64`: every bit of an offset moves half of the hash's.
  static func hash(_ offset: Int64) -> UInt64 {
    var value = UInt64(bitPattern: offset) ^ 0x4cf2_d2ba_ae6d_a887
    value ^= value >> 33
    value &*= 0xff51_afd7_ed55_8ccd
    value ^= value >> 33
    value &*= 0xc4ce_b9fe_1a85_ec53
    return value ^ (value >> 33)
  }
}
