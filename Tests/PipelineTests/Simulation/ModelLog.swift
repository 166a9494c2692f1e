/// One partition's log as readers see it: records, and offsets that hold none (compacted, aborted, transaction markers).
struct ModelLog {
  enum Entry {
    case record
    /// Read, but no row comes of it: a tombstone, or filtered.
    case filtered
    /// Only the server refuses it.
    case poison
    /// An offset without a record.
    case gap
  }

  /// Grows when the topic is deleted and made again.
  var version = 0
  var entries: [Entry] = []
  var start = 0

  mutating func append(_ count: Int, _ random: inout ModelRandom, poison: Double) {
    for _ in 0..<count {
      let kind: Entry =
        random.chance(0.1) ? .gap : random.chance(0.08) ? .filtered : random.chance(poison) ? .poison : .record
      entries.append(kind)
    }
  }
}

/// SplitMix64 with the few draws that schedules are made of.
struct ModelRandom {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678_9ABC_DEF1 }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// 0 ..< limit
  mutating func below(_ limit: Int) -> Int { Int(truncatingIfNeeded: next() >> 33) % limit }
  mutating func between(_ low: Int, _ high: Int) -> Int { low + below(high - low + 1) }
  mutating func chance(_ probability: Double) -> Bool { Double(next() >> 11) < probability * 9_007_199_254_740_992 }
}
