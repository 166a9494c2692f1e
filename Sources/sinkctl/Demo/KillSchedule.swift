/// When the demo pulls the plug: after so many rows each time, the same for the same seed.
struct KillSchedule: Sendable, Equatable {
  /// Ascending, one for each kill.
  let rows: [Int]
  /// How much later than the rows, so that it meets every phase of a block.
  let delays: [Duration]

  /// Spread over the rows, each at a random place of its part; none in the last tenth, so that something is left to do.
  init(kills: Int, rows total: Int, seed: UInt64) {
    var random = SplitMix(state: seed)
    var rows: [Int] = []
    var delays: [Duration] = []
    for index in 0..<kills {
      let part = total * 9 / 10 / kills
      rows.append(part * index + Int.random(in: part / 4...max(part / 4, part * 3 / 4), using: &random))
      delays.append(.milliseconds(Int.random(in: 0...80, using: &random)))
    }
    self.rows = rows
    self.delays = delays
  }

  private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var mixed = state
      mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
      mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
      return mixed ^ (mixed >> 31)
    }
  }
}
