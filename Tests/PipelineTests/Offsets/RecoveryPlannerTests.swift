import KafkaClient
import TestServers
import Testing

@testable import Pipeline

@Suite struct RecoveryPlannerTests {
  private func plan(
    _ found: FoundPartition, _ counts: [Int?] = [], _ choice: Recovery.Choice? = nil, isForced: Bool = false
  ) -> ResetPlanner.Verdict {
    var random = SeededGenerator(seed: 1)
    return RecoveryPlanner(choice: choice, isForced: isForced).plan(
      found,
      counts: counts.map { count in
        count.map { FoundRows(table: $0, deadLetters: nil, hasViews: found.delivery?.hasViews ?? false) }
      }, random: &random)
  }

  private func intents(_ step: OffsetPlan.Step?) throws -> [Intent] {
    let step = try #require(step)
    return try #require(IntentMetadata(step.metadata, offset: step.offset)).intents
  }

  private static let old = Int64(3600)

  // MARK: Without blocks

  @Test func aHealthyPartitionIsLeftAlone() {
    #expect(plan(.test(committed: 500, FoundPartition.text([]), log: 0..<1000)).untouched != nil)
    #expect(plan(.test(committed: nil, log: 0..<1000)).untouched?.reason.contains("no offset") == true)
    #expect(plan(.test(committed: 5, "x", log: 0..<9, delivery: .atLeastOnce)).untouched != nil)
  }

  @Test func aForeignCommitIsAcceptedAsItStands() {
    #expect(FoundPartition.test(committed: 500, "theirs", log: 0..<1000).offsets.trouble == .foreignCommit)
    let step = plan(.test(committed: 500, "theirs", log: 0..<1000)).step
    #expect(step?.offset == 500 && step?.metadata == "s1 0 0 0" && step?.skipped == 0)
    #expect(plan(.test(committed: 50, "theirs", log: 100..<1000)).step?.offset == 100)
    #expect(plan(.test(committed: 5000, "", log: 100..<1000)).step?.offset == 100)
  }

  @Test func whatRetentionTookIsStated() {
    let found = FoundPartition.test(committed: 50, FoundPartition.text([]), log: 100..<1000)
    #expect(found.offsets.trouble == .lostToRetention(missing: 50))
    let step = plan(found).step
    #expect(step?.offset == 100 && step?.skipped == 50)
  }

  @Test func aLogThatEndsBeforeItStartsOver() {
    let found = FoundPartition.test(committed: 5000, FoundPartition.text([]), log: 100..<1000)
    #expect(found.offsets.trouble == .beyondLog)
    #expect(plan(found).step?.offset == 100)
  }

  // MARK: Blocks

  @Test func aRunSettlesWhatItCan() {
    let young = FoundPartition.test(committed: 0, FoundPartition.text([.test(0, 99)]), log: 0..<1000)
    #expect(plan(young, [50]).untouched?.blocks.map(\.outcome) == [.left])
    let old = FoundPartition.text([.test(0, 99, age: Self.old), .test(100, 199, age: Self.old)])
    let verdict = plan(.test(committed: 0, old, log: 0..<1000), [100, 0])
    #expect(verdict.untouched?.blocks.map(\.outcome) == [.settled, .left])
  }

  @Test func aPersonHasToChoose() throws {
    let text = FoundPartition.text([.test(0, 99, age: Self.old)])
    let found = FoundPartition.test(committed: 0, text, log: 0..<1000)
    #expect(plan(found, [40]).refused?.blocks.map(\.outcome) == [.undecided(lost: 60, doubled: 40)])
    #expect(plan(found, [nil]).refused?.blocks.map(\.outcome) == [.undecided(lost: 100, doubled: 100)])
    let taken = plan(found, [40], .takeAsLanded).step
    #expect(taken?.offset == 100 && taken?.metadata == "s1 0 0 0")
    #expect(taken?.blocks.map(\.outcome) == [.taken(lost: 60)])
    let again = plan(found, [40], .insertAgain).step
    #expect(again?.offset == 0 && again?.metadata == "s1 0 0 0")
    #expect(again?.blocks.map(\.outcome) == [.again(doubled: 40)])
  }

  /// Another mapping: the window is over at once.
  @Test func aBlockOfAnotherMappingIsNotSentBlindly() {
    let text = FoundPartition.text([.test(0, 99)], fingerprint: 6)
    #expect(plan(.test(committed: 0, text, log: 0..<1000), [40]).refused != nil)
  }

  /// What stands behind a block that is made again keeps its place and its token; the block itself gets a new token.
  @Test func aBlockInTheMiddleIsMadeAgain() throws {
    let text = FoundPartition.text([
      .test(0, 99, age: Self.old), .test(100, 199, age: Self.old), .done(first: 200, last: 249), .test(250, 299),
    ])
    let found = FoundPartition.test(committed: 0, text, log: 0..<1000)
    let step = plan(found, [100, 40, 0], .insertAgain).step
    #expect(step?.offset == 100)
    let left = try intents(step)
    #expect(left.map(\.last) == [199, 249, 299])
    #expect(left[0].isUnsent && left[0].rows == 100 && left[0].token != Intent.test(100, 199).token)
    #expect(left[1].isDone)
    #expect(left[2] == .test(250, 299))
    let lineage = try #require(step.flatMap { IntentMetadata($0.metadata, offset: 100) }).lineage
    #expect(lineage != 77 && lineage != 0)
  }

  @Test func theLogsNameIsKept() throws {
    let lineage = DeliveryTarget.identifiedBit | 0x55 << 32 | 0xffff
    let text = FoundPartition.text(
      [.test(0, 99, age: Self.old), .test(100, 199)], lineage: lineage)
    let step = try #require(plan(.test(committed: 0, text, log: 0..<1000), [40, 0], .insertAgain).step)
    let drawn = try #require(IntentMetadata(step.metadata, offset: step.offset)).lineage
    #expect(drawn >> 32 == lineage >> 32 && drawn != lineage)
  }

  @Test func whatTheLogNoLongerHasIsLost() {
    let text = FoundPartition.text([.test(0, 99, age: Self.old), .test(100, 199, age: Self.old)])
    let step = plan(.test(committed: 0, text, log: 150..<1000), [0, 10], .insertAgain).step
    #expect(step?.blocks.map(\.outcome) == [.lost(100), .again(doubled: 10)])
    #expect(step?.offset == 150 && step?.skipped == 150)
    #expect(plan(.test(committed: 0, text, log: 150..<1000), [0, 10]).refused != nil)
    #expect(plan(.test(committed: 0, text, log: 200..<1000), [100, 0]).step?.offset == 200)
  }

  /// The log ends within a block: nothing that is written stands behind its end.
  @Test func aTruncatedLog() {
    let text = FoundPartition.text([.test(900, 999, age: Self.old)])
    let found = FoundPartition.test(committed: 900, text, log: 0..<950)
    #expect(found.offsets.trouble == .beyondLog)
    #expect(plan(found, [50]).refused != nil)
    #expect(plan(found, [50], .takeAsLanded).step?.offset == 950)
    #expect(plan(found, [50], .insertAgain).step?.offset == 900)
  }

  /// The server may have lost the table's rows, or have more of them than were declared.
  @Test func aTableThatWasEmptiedOrHasMore() {
    let text = FoundPartition.text([.test(0, 99, age: Self.old)])
    let found = FoundPartition.test(committed: 0, text, log: 0..<1000)
    #expect(plan(found, [0]).untouched?.blocks.map(\.outcome) == [.left])
    #expect(plan(found, [0], .takeAsLanded, isForced: true).step?.blocks.map(\.outcome) == [.taken(lost: 100)])
    #expect(plan(found, [130], .insertAgain).step == nil)
    #expect(plan(found, [130], .insertAgain, isForced: true).step?.blocks.map(\.outcome) == [.settled])
  }

  /// It is sent again while the group holds every part of it; else each part is a block of its own that is counted.
  @Test func aBlockOfSeveralPartitions() throws {
    let text = FoundPartition.text([.test(0, 99, parts: 3)])
    let whole = FoundPartition.test(committed: 0, text, log: 0..<1000, others: [9, 1])
    let block = try #require(whole.offsets.pending.first)
    #expect(block.parts == 3 && block.others.map(\.partition) == [1, 9] && !block.isBroken)
    #expect(block.windowLeft == .seconds(890))
    #expect(plan(whole, [40]).untouched?.blocks.map(\.outcome) == [.left])
    let broken = FoundPartition.test(committed: 0, text, log: 0..<1000, others: [1])
    #expect(broken.offsets.pending.first?.isBroken == true && broken.offsets.pending.first?.windowLeft == .zero)
    #expect(plan(broken, [40]).refused?.blocks.map(\.outcome) == [.undecided(lost: 60, doubled: 40)])
    #expect(plan(broken, [0]).untouched?.blocks.map(\.outcome) == [.left])
  }

  /// A run that counts inserts what is missing: nobody has to choose, and so nobody loses what a run would insert.
  @Test func whereRowsAreCountedARunCompletesABlock() {
    let table = DeliveryTable(fingerprint: 7, horizon: .zero, canCount: true)
    let text = FoundPartition.text([.test(0, 99, age: Self.old)])
    let found = FoundPartition.test(committed: 0, text, log: 0..<1000, table: table)
    #expect(found.offsets.pending.map(\.isCounted) == [true])
    #expect(plan(found, [40], .takeAsLanded).untouched?.blocks.map(\.outcome) == [.left])
    #expect(plan(found, [40], .takeAsLanded, isForced: true).step?.blocks.map(\.outcome) == [.taken(lost: 60)])
    // What the log no longer has, nobody can complete.
    let cut = FoundPartition.test(committed: 0, text, log: 50..<1000, table: table)
    #expect(plan(cut, [40]).refused?.blocks.map(\.outcome) == [.undecided(lost: 60, doubled: 40)])
  }

  /// A run stands still on rows that are there, since what its views have is not known; what is not there it inserts.
  @Test func viewsLeaveOpenWhatIsThereAlone() {
    let table = DeliveryTable(fingerprint: 7, horizon: .seconds(3600), canCount: true, hasViews: true)
    let text = FoundPartition.text([.test(0, 99, age: Self.old)])
    let found = FoundPartition.test(committed: 0, text, log: 0..<1000, table: table)
    #expect(plan(found, [0], .takeAsLanded).untouched?.blocks.map(\.outcome) == [.left])
    #expect(plan(found, [100]).refused?.blocks.map(\.outcome) == [.undecided(lost: 0, doubled: 100)])
    #expect(plan(found, [100], .takeAsLanded).step?.offset == 100)
    #expect(plan(found, [40]).refused?.blocks.map(\.outcome) == [.undecided(lost: 60, doubled: 40)])
  }

  /// With a topic named, a person knows better: more rows than declared, say.
  @Test func aForcedChoiceIsForAllBlocks() {
    let text = FoundPartition.text([.test(0, 99)])
    let found = FoundPartition.test(committed: 0, text, log: 0..<1000)
    #expect(plan(found, [0], .insertAgain, isForced: true).step?.blocks.map(\.outcome) == [.again(doubled: 0)])
    #expect(plan(found, [0], .takeAsLanded, isForced: true).step?.blocks.map(\.outcome) == [.taken(lost: 100)])
    #expect(plan(found, [100], .insertAgain, isForced: true).step?.blocks.map(\.outcome) == [.settled])
  }

  /// Whatever is planned: what is written can be read, begins within the log, and never names an offset twice or skips one.
  @Test(arguments: 0..<UInt64(300)) func whateverIsPlannedHolds(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let committed = Int64.random(in: 0...200, using: &random)
    var next = committed
    var intents: [Intent] = []
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      let last = next + Int64.random(in: 0...60, using: &random)
      let age = Int64.random(in: 0...2000, using: &random)
      intents.append(
        Bool.random(using: &random) || intents.isEmpty ? .test(next, last, age: age) : .done(first: next, last: last))
      next = last + 1
    }
    let logStart = Int64.random(in: 0...250, using: &random)
    let log = logStart..<max(logStart, Int64.random(in: 100...700, using: &random))
    let fingerprint: UInt64 = Bool.random(using: &random) ? 7 : 6
    let found = FoundPartition.test(
      committed: committed, FoundPartition.text(intents, fingerprint: fingerprint), log: log)
    let counts = found.offsets.pending.map { block in
      Int.random(in: 0...3, using: &random) == 0 ? nil : [0, block.rows, block.rows / 2].randomElement(using: &random)
    }
    for choice in [Recovery.Choice.takeAsLanded, .insertAgain] {
      for isForced in [false, true] {
        let verdict = plan(found, counts, choice, isForced: isForced)
        #expect(
          verdict.refused == nil, "seed \(seed): a choice was made, and yet: \(String(describing: verdict.refused))")
        guard let step = verdict.step else { continue }
        #expect(log.lowerBound <= step.offset, "seed \(seed): \(step.offset) is before \(log)")
        #expect(step.offset <= log.upperBound, "seed \(seed): \(step.offset) is behind \(log)")
        let metadata = try #require(IntentMetadata(step.metadata, offset: step.offset), "seed \(seed)")
        for intent in metadata.intents where !intent.isUnsent && !intent.isDone {
          #expect(intents.contains(intent), "seed \(seed): \(intent) was not there before")
        }
        #expect(metadata.intents.first?.isDone != true, "seed \(seed): an offset that is accounted for is read again")
      }
    }
  }
}
