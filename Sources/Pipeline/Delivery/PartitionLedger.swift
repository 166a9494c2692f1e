/// Which offsets of one assigned partition are accounted for: inserted, dead-lettered, filtered or tombstones.
///
/// A value: no lock, thread or clock. Records come in ascending offsets, with gaps where compaction or transactions
/// left some out. Whoever still holds records (an open or sealed block, a dead letter on its way) has one claim, opened
/// at its first offset; a claim opens later than all before it, so the list stays sorted. The frontier is the offset
/// below which no claim is left: what may be committed.
struct PartitionLedger: Sendable, Equatable {
  /// Names whoever holds records: a block or a dead letter.
  typealias HolderID = UInt64

  struct Claim: Sendable, Equatable {
    let holder: HolderID
    let first: Int64
    var last: Int64
  }

  /// The next offset that has not been read.
  private(set) var position: Int64
  private(set) var claims: [Claim] = []

  init(position: Int64) { self.position = position }

  /// Everything below it is accounted for.
  var frontier: Int64 { claims.first?.first ?? position }

  /// The holder of a record that stops the pipeline: it is never settled, so nothing beyond it is ever committed.
  static let stuck: HolderID = 0

  /// Whether nothing is on its way any more.
  var isSettled: Bool { claims.allSatisfy { $0.holder == Self.stuck } }

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
    var claim = Claim(holder: holder, first: first, last: last)
    if let index = claims.lastIndex(where: { $0.holder == holder }) {
      if claims[index].first <= first {
        claims[index].last = max(claims[index].last, last)
        return
      }
      claim.last = max(claims.remove(at: index).last, last)
    }
    let place = claims.lastIndex { $0.first <= first }.map { $0 + 1 } ?? 0
    claims.insert(claim, at: place)
  }

  /// The holder's records have landed.
  mutating func settle(_ holder: HolderID) {
    precondition(holder != Self.stuck)
    claims.removeAll { $0.holder == holder }
  }
}
