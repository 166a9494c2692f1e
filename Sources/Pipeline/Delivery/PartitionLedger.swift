/// Which offsets of one assigned partition are accounted for: inserted, dead-lettered, filtered or tombstones.
///
/// A value: no lock, thread or clock. Records come in ascending offsets, with gaps where compaction or transactions
/// left some out. Whoever still holds records (an open or sealed block, a dead letter on its way) has one claim, from its
/// first offset to its last. The frontier is the first offset that is claimed: what may be committed.
///
/// Every operation takes constant time in the steady state, with a hundred thousand dead letters on their way as well.
struct PartitionLedger: Sendable, Equatable {
  /// Names whoever holds records: a block or a dead letter.
  typealias HolderID = UInt64

  struct Claim: Sendable, Equatable {
    var first: Int64
    var last: Int64
  }

  private struct Place: Sendable, Equatable {
    let first: Int64
    let holder: HolderID
  }

  /// The next offset that has not been read.
  private(set) var position: Int64
  private(set) var claims: [HolderID: Claim] = [:]
  /// Where the claims begin, in order; those that are settled or begin elsewhere now are skipped when they come first.
  private var places: [Place] = []
  private var head = 0

  init(position: Int64) { self.position = position }

  /// Everything below it is accounted for.
  var frontier: Int64 { head < places.count ? places[head].first : position }

  /// The holder of a record that stops the pipeline: it is never settled, so nothing beyond it is ever committed.
  static let stuck: HolderID = 0

  /// Whether nothing is on its way any more.
  var isSettled: Bool { claims.isEmpty || claims.count == 1 && isStuck }

  /// Whether a record here stops the pipeline.
  var isStuck: Bool { claims[Self.stuck] != nil }

  /// Everything below `position` has been read; what nobody claims of it (tombstones, filtered records, gaps of the
  /// log) is accounted for. Whoever reads drops records below the position: they were read before.
  mutating func read(upTo position: Int64) {
    precondition(position >= self.position, "the position never goes back")
    self.position = position
  }

  /// Records from `first` to `last` that `holder` has taken, all of them read.
  ///
  /// Nearly always they come after everything claimed before; a row that only the server refused comes late.
  mutating func claim(_ first: Int64, through last: Int64, for holder: HolderID) {
    precondition(first <= last && last < position, "claimed before it was read")
    if let known = claims[holder] {
      claims[holder] = Claim(first: min(known.first, first), last: max(known.last, last))
      guard first < known.first else { return }
    } else {
      claims[holder] = Claim(first: first, last: last)
    }
    var index = places.count
    while index > head, places[index - 1].first > first { index -= 1 }
    places.insert(Place(first: first, holder: holder), at: index)
  }

  /// The holder's records have landed.
  mutating func settle(_ holder: HolderID) {
    precondition(holder != Self.stuck)
    guard claims.removeValue(forKey: holder) != nil else { return }
    while head < places.count, !isLive(places[head]) { head += 1 }
    guard places.count > 64, places.count > claims.count * 2 else { return }
    places = places[head...].filter(isLive)
    head = 0
  }

  private func isLive(_ place: Place) -> Bool { claims[place.holder]?.first == place.first }
}
