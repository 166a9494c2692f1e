import Testing

@testable import Pipeline

/// Which offsets are looked at, and what is said about the others.
@Suite struct AuditRangeTests {
  private func resolve(
    log: Range<Int64> = 100..<1000, committed: Int64? = 900, first: Int64? = 100, last: Int64 = 899, below: Int = 0,
    from: Int64? = nil, to: Int64? = nil, earliest: Bool = true
  ) -> (range: Range<Int64>, notes: [String]) {
    AuditRangePolicy(
      log: log, committed: committed,
      table: first.map { TableOffsets.Extent(rows: 1, first: $0, last: last, rowsBelow: below) }, from: from, to: to,
      startsAtLogStart: earliest
    ).resolve()
  }

  @Test func byDefaultFromTheLogsStartToWhatIsCommitted() {
    let (range, notes) = resolve()
    #expect(range == 100..<900 && notes.isEmpty)
    #expect(resolve(first: nil).range == 100..<900, "an empty table has everything to be missed")
  }

  @Test func aGroupThatStartedLateBeginsWithTheTable() {
    let (range, notes) = resolve(first: 300, earliest: false)
    #expect(range == 300..<900 && notes.count == 1 && notes[0].contains("first offset 300"))
    #expect(resolve(first: 50, earliest: false).range == 100..<900)
    #expect(resolve(first: nil, earliest: false).range == 100..<900)
  }

  @Test func whatCannotBeVerifiedIsSaid() {
    #expect(
      resolve(below: 7).notes == ["7 rows are of offsets below the log's start (100): counted, they cannot be verified"]
    )
    let retention = resolve(committed: 40)
    #expect(retention.range.isEmpty && retention.notes[0].contains("retention has taken"))
    let recreated = resolve(committed: 5000, last: 4999)
    #expect(recreated.range == 100..<1000)
    #expect(recreated.notes.count == 2 && recreated.notes.allSatisfy { $0.contains("made again") })
    #expect(resolve(committed: nil).range.isEmpty && resolve(committed: nil).notes[0].contains("nothing to verify"))
    #expect(resolve(log: 0..<0, committed: nil, first: nil).notes.isEmpty)
  }

  @Test func aRangeThatIsAskedForIsCutToTheLog() {
    #expect(resolve(from: 200, to: 300).range == 200..<300)
    #expect(resolve(from: 200, to: 300).notes.isEmpty)
    let beyond = resolve(from: 0, to: 2000)
    #expect(beyond.range == 100..<1000)
    #expect(beyond.notes.contains { $0.contains("the log starts at 100") })
    #expect(beyond.notes.contains { $0.contains("the log ends at 1000, before 2000") })
    #expect(beyond.notes.contains { $0.contains("the group has committed 900") })
    #expect(resolve(from: 500, to: 300).range.isEmpty)
  }
}
