import ClickHouseClient
import KafkaClient
import Synchronization
import TestServers
import Testing

@testable import Pipeline

/// The comparison of log and table, against a plain count of every offset.
@Suite struct AuditRunTests {
  @Test func exactlyWhatWasBrokenIsFound() async throws {
    for seed in UInt64(1)...30 { try await Case(seed: seed).check() }
  }

  /// `intHash64` of ClickHouse 18.16 and 26.9, which agree.
  @Test func theHashIsTheServers() {
    #expect(OffsetFingerprint.hash(0) == 4_761_183_170_873_013_810)
    #expect(OffsetFingerprint.hash(5_000_000_001) == 4_305_648_464_109_255_087)
  }

  /// A gap that goes on behind a transaction's marker, and over the end of a bucket, is one range.
  @Test func aGapIsOneRangeAcrossMarkersAndBuckets() async throws {
    let edge = LogBucket.width
    let range = (edge - 10)..<(edge + 10)
    let there = Set(range).subtracting((edge - 4)...(edge + 3))
    let outcome = try await Case.run(
      range, .stop, rows: there.sorted().map { OffsetCount(offset: $0, count: 1) }, letters: []
    ) { $0 == edge - 2 || $0 == edge + 1 ? .absent : .row }
    #expect(
      outcome.findings.faults.ranges == [
        AuditFinding(.missingRow, firstOffset: edge - 4, lastOffset: edge + 3, offsets: 6)
      ])
    #expect(outcome.tally.missing == 6 && outcome.tally.notInLog == 2 && outcome.tally.rows == 12)
  }

  @Test func rangesBeyondTheBoundAreCounted() async throws {
    let there = (Int64(0)..<100).filter { $0 % 10 != 5 }.map { OffsetCount(offset: $0, count: 1) }
    let outcome = try await Case.run(0..<100, .stop, rows: there, letters: [], findingsMax: 3) { _ in .row }
    #expect(outcome.findings.faults.ranges.map(\.firstOffset) == [5, 15, 25])
    #expect(outcome.findings.faults.rangesInAll == 10 && outcome.tally.missing == 10)
  }

  /// They are no finding, and are counted where nothing else is wrong.
  @Test func repeatsInATopicAreCounted() async throws {
    let rows = (Int64(0)..<100).filter { $0 % 10 != 5 }.map { OffsetCount(offset: $0, count: 1) }
    let letters = (Int64(0)..<100).filter { $0 % 10 == 5 }.map { OffsetCount(offset: $0, count: $0 == 95 ? 3 : 1) }
    let outcome = try await Case.run(0..<100, .topic, rows: rows, letters: letters) {
      $0 % 10 == 5 ? .deadLetter : .row
    }
    #expect(outcome.tally.isClean && outcome.tally.deadLetters == 10 && outcome.tally.repeatedDeadLetters == 2)
    #expect(outcome.lastExact == nil, "the table was asked about single offsets")
  }

  /// A log that ends early: what the table has beyond is no matter.
  @Test func beyondTheReadableEndNothingIsSaid() async throws {
    let rows = (Int64(0)..<100).map { OffsetCount(offset: $0, count: 1) }
    let outcome = try await Case.run(0..<100, .stop, rows: rows, letters: [], readableEnd: 60) { _ in .row }
    #expect(outcome.end == 60 && outcome.tally.rows == 60 && outcome.tally.offsets == 60)
    #expect(outcome.tally.isClean && outcome.tally.keptThoughNotInLog == 0)
  }
}

/// A log and tables made from a seed, with faults put in.
private struct Case {
  let seed: UInt64
  let range: Range<Int64>
  let keeping: BucketComparison.DeadLetterKeeping
  var fates: [Int64: OffsetFate] = [:]
  var rows: [Int64: Int] = [:]
  var letters: [Int64: Int] = [:]

  init(seed: UInt64) {
    self.seed = seed
    var random = SeededGenerator(seed: seed)
    let start = Int64.random(in: 0...2 * LogBucket.width, using: &random)
    // Some within a bucket, some over several.
    let count =
      seed % 15 == 0 ? Int64.random(in: 70_000...150_000, using: &random) : Int64.random(in: 1...3000, using: &random)
    range = start..<(start + count)
    keeping = [.table, .topic, .none, .stop].randomElement(using: &random)!
    let rare = Int.random(in: 2...500, using: &random)
    for offset in range {
      var fate = OffsetFate.row
      if Int.random(in: 0..<rare, using: &random) == 0 {
        fate = [.absent, .filtered, .tombstone, .deadLetter].randomElement(using: &random)!
      }
      if fate == .deadLetter, keeping == .stop { fate = .row }
      fates[offset] = fate
      switch fate {
      // Some rows only the server refuses.
      case .row:
        if keeping == .table || keeping == .topic, offset % 613 == 7 { letters[offset] = 1 } else { rows[offset] = 1 }
      case .deadLetter: if keeping != .none { letters[offset] = 1 }
      case .absent, .filtered, .tombstone: break
      }
    }
    damage(&random)
  }

  private mutating func damage(_ random: inout SeededGenerator) {
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      let first = Int64.random(in: range, using: &random)
      let last = min(range.upperBound - 1, first + Int64.random(in: 0...40, using: &random))
      let deed = Int.random(in: 0..<5, using: &random)
      for offset in first...last {
        switch deed {
        case 0: rows[offset] = nil
        case 1: if rows[offset] != nil { rows[offset]! += Int(offset % 3) + 1 }
        case 2: letters[offset] = nil
        // A row of an offset that has none, and a dead letter beside a row.
        case 3: if keeping != .none, keeping != .stop { letters[offset, default: 0] += 1 }
        default: rows[offset, default: 0] += 1
        }
      }
    }
  }

  private func counts(_ there: [Int64: Int]) -> [OffsetCount] {
    there.sorted { $0.key < $1.key }.map { OffsetCount(offset: $0.key, count: $0.value) }
  }

  func check() async throws {
    let outcome = try await Self.run(range, keeping, rows: counts(rows), letters: counts(letters)) {
      fates[$0] ?? .absent
    }
    var wanted = AuditTally()
    var faults: [Int64: AuditFinding.Kind] = [:]
    for offset in range {
      let (here, there) = (rows[offset] ?? 0, letters[offset] ?? 0)
      let dead = keeping == .topic ? min(there, 1) : there
      wanted.repeatedDeadLetters += there - dead
      switch (here + dead, fates[offset]!) {
      case (2..., _):
        faults[offset] = .doubled(rows: here, deadLetters: dead)
        wanted.doubled += 1
        wanted.surplus += here + dead - 1
      case (_, .absent): wanted.notInLog += 1
      case (1, _) where here == 1: wanted.rows += 1
      case (1, _): wanted.deadLetters += 1
      case (_, .row):
        faults[offset] = .missingRow
        wanted.missing += 1
      case (_, .deadLetter) where keeping == .none: wanted.skipped += 1
      case (_, .deadLetter):
        faults[offset] = .missingDeadLetter
        wanted.missing += 1
      case (_, .filtered): wanted.filtered += 1
      case (_, .tombstone): wanted.tombstones += 1
      }
    }
    var tally = outcome.tally
    (tally.keptThoughNotInLog, tally.elsewhere) = (0, 0)
    #expect(tally == wanted, "seed \(seed)")
    #expect(tally.offsets == range.count, "seed \(seed)")
    var found: [Int64: AuditFinding.Kind] = [:]
    for finding in outcome.findings.faults.ranges {
      let named = (finding.firstOffset...finding.lastOffset).filter { fates[$0] != .absent || faults[$0] != nil }
      #expect(named.count == finding.offsets, "seed \(seed): \(finding)")
      for offset in named { found[offset] = finding.kind }
    }
    #expect(found == faults, "seed \(seed)")
  }

  /// As the consumer's thread and the settling task do it, against tables in memory.
  static func run(
    _ range: Range<Int64>, _ keeping: BucketComparison.DeadLetterKeeping, rows: [OffsetCount], letters: [OffsetCount],
    findingsMax: Int = 100_000, readableEnd: Int64? = nil, fate: (Int64) -> OffsetFate
  ) async throws -> AuditRun.Outcome {
    func fingerprints(_ counts: [OffsetCount], once: Bool) -> [Int64: OffsetFingerprint] {
      counts.filter { range.contains($0.offset) }.reduce(into: [:]) { result, count in
        for _ in 0..<(once ? 1 : count.count) {
          result[LogBucket.number(of: count.offset), default: OffsetFingerprint()].insert(count.offset)
        }
      }
    }
    let count: @Sendable ([OffsetCount]) -> CountOffsets = { counts in
      { stretches in
        Dictionary(
          grouping: stretches.flatMap { stretch in counts.within(stretch.offsets) }, by: { _ in Int32(3) })
      }
    }
    let isTable = keeping == .table
    let run = AuditRun(
      [
        AuditedPartition(
          partition: TopicPartition("t", 3), route: 0, range: range, deadLetters: keeping, countRows: count(rows),
          countLetters: isTable ? count(letters) : nil, rows: fingerprints(rows, once: false),
          letterFingerprints: fingerprints(letters, once: !isTable), letters: isTable ? [] : letters)
      ], findingsMax: findingsMax
    ) { _ in }
    let settling = Task { try await run.settle() }
    let end = readableEnd ?? range.upperBound
    var rest = range
    while !rest.isEmpty {
      var bucket = LogBucket(LogBucket.first(of: rest))
      for offset in bucket.offsets where offset < end { bucket[offset] = fate(offset) }
      while run.isFull { await Task.yield() }
      run.close(bucket.prefix(upTo: end), of: 0)
      rest = bucket.offsets.upperBound..<range.upperBound
    }
    run.end(0, at: end)
    run.endReading()
    try await settling.value
    return run.outcomes[0]
  }
}
