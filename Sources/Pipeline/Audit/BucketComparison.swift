/// So many copies of an offset.
struct OffsetCount: Sendable, Equatable {
  let offset: Int64
  let count: Int
}

/// Where a bucket's offsets are: the log's side against what the table and the dead letters hold. Pure.
struct BucketComparison {
  let bucket: LogBucket
  /// What may hold a dead letter of this route.
  let deadLetters: DeadLetterKeeping

  enum DeadLetterKeeping: Sendable, Equatable {
    /// Exactly once, as rows are.
    case table
    /// At least once.
    case topic
    /// Nowhere: they are skipped.
    case none
    /// Nowhere: the first one ends the run, so none lies below a committed offset.
    case stop
  }

  /// The quick way: whether all offsets of the bucket are accounted for once, by fingerprints alone.
  /// - Parameters:
  ///   - rows: of the table.
  ///   - letters: of the dead letters, each offset once where they are in a topic.
  /// - Returns: nil where that cannot be said.
  func quick(rows: OffsetFingerprint, letters: OffsetFingerprint) -> AuditTally? {
    let (counts, expected) = bucket.summary(keepsDeadLetters: deadLetters != .none)
    guard rows + letters == expected else { return nil }
    var tally = AuditTally()
    tally.rows = rows.count
    tally.deadLetters = letters.count
    tally.filtered = counts.filtered
    tally.tombstones = counts.tombstones
    tally.skipped = deadLetters == .none ? counts.deadLetters : 0
    tally.notInLog = counts.absent
    tally.elsewhere = max(0, rows.count - counts.rows)
    return tally
  }

  /// The exact way.
  /// - Parameters:
  ///   - rows: how often the table has each offset of the bucket, ascending; offsets that it does not have are left out.
  ///   - letters: the same of the dead letters.
  func exact(
    rows: [OffsetCount], letters: [OffsetCount], into tally: inout AuditTally, _ findings: inout AuditFindings
  ) {
    var rows = rows[...]
    var letters = letters[...]
    for offset in bucket.offsets {
      let inTable = Self.take(offset, from: &rows)
      var inLetters = Self.take(offset, from: &letters)
      if deadLetters == .topic, inLetters > 1 {
        tally.repeatedDeadLetters += inLetters - 1
        inLetters = 1
      }
      place(offset, inTable, inLetters, &tally, &findings)
    }
  }

  private static func take(_ offset: Int64, from counts: inout ArraySlice<OffsetCount>) -> Int {
    while let first = counts.first, first.offset < offset { counts.removeFirst() }
    guard let first = counts.first, first.offset == offset else { return 0 }
    counts.removeFirst()
    return first.count
  }

  private func place(
    _ offset: Int64, _ rows: Int, _ letters: Int, _ tally: inout AuditTally, _ findings: inout AuditFindings
  ) {
    let fate = bucket[offset]
    if rows + letters > 1 {
      tally.doubled += 1
      tally.surplus += rows + letters - 1
      return findings.addFault(.doubled(rows: rows, deadLetters: letters), at: offset)
    }
    if fate == .absent {
      tally.notInLog += 1
      // Neither good nor bad: a range of missing offsets goes on behind a transaction's marker.
      guard rows + letters == 1 else { return }
      tally.keptThoughNotInLog += 1
      return findings.strays.add(.notInLog, at: offset)
    }
    if rows + letters == 1 {
      tally.rows += rows
      tally.deadLetters += letters
      // A dead letter of what looks like a row: the server has refused it.
      if (rows == 1 && fate != .row) || (letters == 1 && fate != .row && fate != .deadLetter) { tally.elsewhere += 1 }
      return findings.interrupt()
    }
    switch fate {
    case .row:
      tally.missing += 1
      return findings.addFault(.missingRow, at: offset)
    case .deadLetter where deadLetters != .none:
      tally.missing += 1
      return findings.addFault(.missingDeadLetter, at: offset)
    case .deadLetter: tally.skipped += 1
    case .filtered: tally.filtered += 1
    case .tombstone: tally.tombstones += 1
    case .absent: break
    }
    findings.interrupt()
  }
}
