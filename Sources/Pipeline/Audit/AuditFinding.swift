/// Offsets that are not accounted for exactly once, in one row: between them lie only offsets that the log does not have.
public struct AuditFinding: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// The log has a record that should be a row, and it is nowhere.
    case missingRow
    /// The log has a record that cannot be a row, and no dead letter tells of it.
    case missingDeadLetter
    /// There more than once: in so many rows of the table, and so many dead letters.
    case doubled(rows: Int, deadLetters: Int)
    /// In the table or among the dead letters, but the log has no record of it: compacted away since, or never visible.
    /// Reported, and not counted as a fault.
    case notInLog
  }

  public let kind: Kind
  public let firstOffset: Int64
  public internal(set) var lastOffset: Int64
  /// How many offsets it is about; the log lacks the others in between.
  public internal(set) var offsets: Int

  public init(_ kind: Kind, firstOffset: Int64, lastOffset: Int64, offsets: Int) {
    self.kind = kind
    self.firstOffset = firstOffset
    self.lastOffset = lastOffset
    self.offsets = offsets
  }
}

/// Gathers findings of ascending offsets as ranges, up to a bound; further ones are counted.
struct FindingList: Sendable {
  let limit: Int
  private(set) var ranges: [AuditFinding] = []
  /// Those beyond the bound too.
  private(set) var rangesInAll = 0
  /// The last range may still grow.
  private var isOpen = false
  /// The kind of the last range, also where it was not kept.
  private var lastKind: AuditFinding.Kind?

  init(limit: Int) { self.limit = limit }

  mutating func add(_ kind: AuditFinding.Kind, at offset: Int64) {
    if isOpen, kind == lastKind {
      if rangesInAll == ranges.count {
        ranges[ranges.count - 1].lastOffset = offset
        ranges[ranges.count - 1].offsets += 1
      }
      return
    }
    rangesInAll += 1
    isOpen = true
    lastKind = kind
    guard ranges.count < limit else { return }
    ranges.append(AuditFinding(kind, firstOffset: offset, lastOffset: offset, offsets: 1))
  }

  /// An offset that is as it should be: the next finding begins a range of its own.
  mutating func interrupt() { isOpen = false }
}

/// What is wrong, and what cannot be verified.
struct AuditFindings: Sendable {
  var faults: FindingList
  var strays: FindingList

  init(limit: Int) {
    faults = FindingList(limit: limit)
    strays = FindingList(limit: limit)
  }

  mutating func addFault(_ kind: AuditFinding.Kind, at offset: Int64) {
    faults.add(kind, at: offset)
    strays.interrupt()
  }

  mutating func interrupt() {
    faults.interrupt()
    strays.interrupt()
  }
}
