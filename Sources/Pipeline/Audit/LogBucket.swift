/// What becomes of a record under the pipeline's configuration, as far as the log alone can tell.
enum OffsetFate: UInt8, Sendable {
  /// No reader gets a record of this offset: a transaction's marker, aborted, compacted away, or below the log's start.
  case absent
  case row
  case deadLetter
  case filtered
  case tombstone
}

/// A stretch of offsets of one partition, with the fate of each. The log is compared with the table bucket by bucket, so
/// that what is held at a time has a bound, and only buckets that differ are looked at offset by offset.
struct LogBucket: Sendable {
  /// Offsets in a whole bucket; each begins at a multiple of it.
  static let width: Int64 = 1 << 16

  let offsets: Range<Int64>
  /// One byte for each offset.
  private(set) var fates: [UInt8]

  init(_ offsets: Range<Int64>) {
    self.offsets = offsets
    fates = [UInt8](repeating: OffsetFate.absent.rawValue, count: offsets.count)
  }

  static func number(of offset: Int64) -> Int64 { offset / width }

  /// The part of a range that lies in the bucket of its first offset.
  static func first(of range: Range<Int64>) -> Range<Int64> {
    range.lowerBound..<min(range.upperBound, (number(of: range.lowerBound) + 1) * width)
  }

  /// The part below an offset.
  func prefix(upTo end: Int64) -> LogBucket {
    var part = LogBucket(offsets.lowerBound..<max(offsets.lowerBound, min(end, offsets.upperBound)))
    part.fates = Array(fates.prefix(part.offsets.count))
    return part
  }

  var number: Int64 { Self.number(of: offsets.lowerBound) }

  subscript(offset: Int64) -> OffsetFate {
    get { OffsetFate(rawValue: fates[Int(offset - offsets.lowerBound)]) ?? .absent }
    set { fates[Int(offset - offsets.lowerBound)] = newValue.rawValue }
  }

  /// How many offsets have each fate.
  struct Counts: Sendable, Equatable {
    var absent = 0
    var rows = 0
    var deadLetters = 0
    var filtered = 0
    var tombstones = 0
  }

  /// - Parameter keepsDeadLetters: false where the route skips them.
  /// - Returns: the counts, and the fingerprint of the offsets that must be in the table or among the dead letters.
  func summary(keepsDeadLetters: Bool) -> (counts: Counts, expected: OffsetFingerprint) {
    var counts = Counts()
    var expected = OffsetFingerprint()
    for (index, raw) in fates.enumerated() {
      switch OffsetFate(rawValue: raw) ?? .absent {
      case .absent: counts.absent += 1
      case .row:
        counts.rows += 1
        expected.insert(offsets.lowerBound + Int64(index))
      case .deadLetter:
        counts.deadLetters += 1
        if keepsDeadLetters { expected.insert(offsets.lowerBound + Int64(index)) }
      case .filtered: counts.filtered += 1
      case .tombstone: counts.tombstones += 1
      }
    }
    return (counts, expected)
  }
}
