import SinkThreads
import Testing

@testable import Pipeline

/// The rules one by one; what they come to together is the simulation's matter.
@Suite struct ExactlyOnceStateMachineTests {
  private static let rules = DeliveryRules(
    session: .seconds(45), leaseMargin: .seconds(5), insertDeadline: .seconds(60))

  /// A machine with partition 1, of table `d.t`, at a time that the test moves.
  private struct Bench {
    var machine = ExactlyOnceStateMachine(rules: ExactlyOnceStateMachineTests.rules)
    var seconds: Int64 = 1_000

    var now: Moment {
      Moment(monotonic: MonotonicInstant(nanoseconds: seconds * 1_000_000_000), wallSeconds: 1_700_000_000 + seconds)
    }

    static func target(fingerprint: UInt64 = 7) -> DeliveryTarget {
      DeliveryTarget(
        origin: .init(topic: "t", partition: 0, table: "d.t"), fingerprint: fingerprint, horizon: .seconds(3600),
        lineage: nil, freshLineage: 9)
    }

    mutating func assign(fingerprint: UInt64 = 7, nonce: UInt64 = 1) -> [DeliveryAction] {
      machine.assigned([(1, Self.target(fingerprint: fingerprint))], nonce: nonce, now)
    }

    mutating func read(_ held: PartitionDelivery.Snapshot?, start: Int64 = 0) -> [DeliveryAction] {
      machine.offsetsRead([(1, held, start)], now)
    }

    /// Assigned, claimed at `held`, reading.
    mutating func open(_ held: PartitionDelivery.Snapshot? = nil, start: Int64 = 0) throws -> [DeliveryAction] {
      #expect(assign() == [.readOffsets([1])])
      let actions = read(held, start: start)
      _ = try #require(Bench.commit(actions))
      return machine.committed(.known, now)
    }

    /// What the group holds is as it was written.
    mutating func readBack(_ actions: [DeliveryAction]) -> [DeliveryAction] {
      #expect(actions.contains(.readOffsets([1])))
      return read(machine.partitions[1]?.written)
    }

    static func commit(_ actions: [DeliveryAction]) -> PartitionDelivery.Snapshot? {
      for case .commit(let commits) in actions {
        return PartitionDelivery.Snapshot(offset: commits[0].offset, metadata: commits[0].metadata)
      }
      return nil
    }

    static func insert(_ action: DeliveryAction) -> Int? {
      if case .insert(let block, _, _) = action { block } else { nil }
    }

    static func intents(_ snapshot: PartitionDelivery.Snapshot?) throws -> [Intent] {
      let snapshot = try #require(snapshot)
      return try #require(IntentMetadata(snapshot.metadata, offset: snapshot.offset)).intents
    }
  }

  private static func held(_ intents: [Intent], at offset: Int64, fingerprint: UInt64 = 7) throws
    -> PartitionDelivery.Snapshot
  {
    let metadata = IntentMetadata(lineage: 9, nonce: 5, fingerprint: fingerprint, intents: intents)
    return .init(offset: offset, metadata: try #require(metadata.encoded()))
  }

  private static func intent(_ first: Int64, _ last: Int64, declaredAt: Int64 = 1_700_000_990) -> Intent {
    Intent(
      first: first, last: last, rows: Int(last - first + 1), declaredAt: declaredAt,
      token: DeduplicationToken(high: UInt64(first), low: UInt64(last)), isDead: false)
  }

  @Test func nothingIsReadBeforeTheClaimIsKnown() throws {
    var bench = Bench()
    #expect(bench.assign() == [.readOffsets([1])])
    let actions = bench.read(nil, start: 40)
    #expect(Bench.commit(actions)?.offset == 40)
    #expect(actions.count == 1)
    #expect(bench.machine.lease < bench.now.monotonic)
    #expect(
      bench.machine.committed(.known, bench.now) == [
        .assign(1, offset: 40), .read(1, from: 40, through: nil, isDead: false),
      ])
    #expect(bench.machine.lease == bench.now.monotonic + .seconds(40))
  }

  @Test func aBlockIsSentOnceItsIntentIsKnown() throws {
    var bench = Bench()
    _ = try bench.open()
    let (block, actions) = bench.machine.sealed([.init(partition: 1, last: 9, rows: 8)], bench.now)
    let intents = try Bench.intents(Bench.commit(actions))
    #expect(intents.map(\.last) == [9])
    #expect(!actions.contains { if case .insert = $0 { true } else { false } })
    let known = bench.machine.committed(.known, bench.now)
    #expect(
      known == [.insert(block: block, token: intents[0].token, notAfter: bench.now.monotonic + .seconds(900))])
  }

  @Test func doneAndTheNextIntentTravelTogether() throws {
    var bench = Bench()
    _ = try bench.open()
    let (first, _) = bench.machine.sealed([.init(partition: 1, last: 9, rows: 10)], bench.now)
    _ = bench.machine.committed(.known, bench.now)
    // Accounted for, but that alone is no reason to hurry.
    #expect(bench.machine.inserted(first, .accepted, bench.now) == [])
    let (_, actions) = bench.machine.sealed([.init(partition: 1, last: 19, rows: 10)], bench.now)
    let snapshot = try #require(Bench.commit(actions))
    #expect(snapshot.offset == 10)
    #expect(try Bench.intents(snapshot).map(\.last) == [19])
  }

  /// What is done before its predecessor stays in the metadata as done: inserted again under another mapping it would be
  /// in the table twice.
  @Test func whatIsDoneOutOfOrderIsNotInsertedAgain() throws {
    var bench = Bench()
    _ = try bench.open(try Self.held([Self.intent(0, 9), .done(first: 10, last: 19), Self.intent(20, 29)], at: 0))
    #expect(bench.machine.partitions[1]?.reader == .replay(1))
    let (_, actions) = bench.machine.collected(1, rows: 10, bench.now)
    // The next to be read again is not the one that is done.
    #expect(actions.contains(.read(1, from: 20, through: 29, isDead: false)))
    #expect(bench.readBack(actions).map(Bench.insert) == [1])
  }

  @Test func aReplayHasTheRecordedToken() throws {
    var bench = Bench()
    let recorded = Self.intent(5, 9)
    #expect(
      try bench.open(Self.held([recorded], at: 5)) == [
        .assign(1, offset: 5), .read(1, from: 5, through: 9, isDead: false),
      ])
    let (block, actions) = bench.machine.collected(1, rows: 5, bench.now)
    #expect(actions == [.read(1, from: 10, through: nil, isDead: false), .readOffsets([1])])
    #expect(
      bench.readBack(actions) == [
        .insert(block: block, token: recorded.token, notAfter: bench.now.monotonic + .seconds(890))
      ])
  }

  /// What was read again may be of another log than what was declared.
  @Test func aTopicMadeAgainWhileABlockIsReadAgainStops() throws {
    var bench = Bench()
    _ = try bench.open(Self.held([Self.intent(5, 9)], at: 5))
    let (block, actions) = bench.machine.collected(1, rows: 5, bench.now)
    #expect(actions.last == .readOffsets([1]))
    #expect(
      bench.read(nil) == [
        .cancel(block: block), .pause(1), .stopped(1, .foreignCommit(offset: nil, metadata: "")),
      ])
  }

  /// Older than a quarter of the horizon: counted at once, since what is there is there; that nothing is there counts only
  /// when no insert of a former owner can land any more.
  @Test(arguments: [(rows: 5, isThere: true), (rows: 0, isThere: false)])
  func anOldIntentIsResolved(_ found: (rows: Int, isThere: Bool)) throws {
    var bench = Bench()
    let old = Self.intent(5, 9, declaredAt: 1_699_999_000)
    #expect(
      try bench.open(Self.held([old], at: 5)) == [
        .count(1, block: 1, first: 5, last: 9), .assign(1, offset: 5),
        .read(1, from: 10, through: nil, isDead: false),
      ])
    let claimedAt = bench.now.monotonic
    _ = bench.machine.counted(1, block: 1, rows: found.rows, bench.now)
    guard !found.isThere else {
      #expect(bench.machine.partitions[1]?.frontier == 10)
      return
    }
    bench.seconds += 104
    #expect(!bench.machine.tick(bench.now).contains { if case .count = $0 { true } else { false } })
    #expect(bench.machine.nextDeadline.map { $0 <= claimedAt + .seconds(105) } == true)
    bench.seconds += 1
    #expect(bench.machine.tick(bench.now).contains(.count(1, block: 1, first: 5, last: 9)))
    let actions = bench.machine.counted(1, block: 1, rows: found.rows, bench.now)
    // Read again under the same token; declared anew before it is sent.
    #expect(actions.contains(.read(1, from: 5, through: 9, isDead: false)))
    #expect(bench.machine.partitions[1]?.blocks.first?.isDeclared == false)
    #expect(bench.machine.partitions[1]?.blocks.first?.intent.token == old.token)
  }

  /// Clocks of hosts agree to within a minute. Where they do not, the age of a block is not known: it is counted.
  @Test(arguments: [(ahead: 60, isCounted: false), (ahead: 61, isCounted: true)])
  func anIntentOfTheFutureIsResolved(_ clock: (ahead: Int64, isCounted: Bool)) throws {
    var bench = Bench()
    let intent = Self.intent(5, 9, declaredAt: bench.now.wallSeconds + clock.ahead)
    let actions = try bench.open(Self.held([intent], at: 5))
    #expect(actions.contains(.count(1, block: 1, first: 5, last: 9)) == clock.isCounted)
    #expect(actions.contains(.read(1, from: 5, through: 9, isDead: false)) == !clock.isCounted)
  }

  @Test func someOfTheRowsIsAPersonsMatter() throws {
    var bench = Bench()
    let old = Self.intent(5, 9, declaredAt: 1_699_999_000)
    _ = try bench.open(Self.held([old], at: 5))
    // A part of it may still be on its way.
    #expect(bench.machine.counted(1, block: 1, rows: 3, bench.now) == [])
    bench.seconds += 200
    _ = bench.machine.tick(bench.now)
    #expect(
      bench.machine.counted(1, block: 1, rows: 3, bench.now).contains(.stopped(1, .partlyThere(old, found: 3))))
    #expect(bench.machine.partitions[1]?.phase == .stopped)
  }

  @Test func intentsOfAnotherMappingAreResolvedBeforeAnythingIsRead() throws {
    var bench = Bench()
    _ = bench.assign()
    let held = try Self.held([Self.intent(5, 9)], at: 5, fingerprint: 6)
    let claim = Bench.commit(bench.read(held))
    #expect(claim.flatMap { IntentMetadata($0.metadata, offset: $0.offset) }?.fingerprint == 6)
    #expect(
      bench.machine.committed(.known, bench.now) == [
        .count(1, block: 1, first: 5, last: 9), .assign(1, offset: 5), .pause(1),
      ])
    _ = bench.machine.counted(1, block: 1, rows: 5, bench.now)
    #expect(bench.machine.partitions[1]?.reader == .cut)
    #expect(bench.machine.partitions[1]?.fingerprint == 7)
  }

  @Test func anUnknownCommitDropsTheHandle() throws {
    var bench = Bench()
    _ = try bench.open()
    _ = bench.machine.sealed([.init(partition: 1, last: 9, rows: 10)], bench.now)
    #expect(bench.machine.committed(.unknown, bench.now) == [.cancel(block: 1), .renew])
    #expect(bench.machine.partitions.isEmpty)
    #expect(bench.machine.lease < bench.now.monotonic)
  }

  @Test(arguments: [true, false]) func aRefusedCommitIsReadBack(wasWritten: Bool) throws {
    var bench = Bench()
    _ = try bench.open()
    let before = bench.machine.partitions[1]?.written
    let (block, actions) = bench.machine.sealed([.init(partition: 1, last: 9, rows: 10)], bench.now)
    let attempted = Bench.commit(actions)
    #expect(bench.machine.committed(.refused, bench.now) == [])
    bench.seconds += 1
    #expect(bench.machine.tick(bench.now) == [.readOffsets([1])])
    let after = bench.read(wasWritten ? attempted : before)
    let inserts = after.contains { if case .insert(block, _, _) = $0 { true } else { false } }
    #expect(inserts == wasWritten)
    #expect((Bench.commit(after) == nil) == wasWritten)
  }

  /// A grant lacks, say: the claim is tried again less and less often, and at once where a rebalance was the reason.
  @Test func aClaimThatIsRefusedAgainAndAgain() throws {
    var bench = Bench()
    _ = bench.assign()
    var actions = bench.read(nil)
    var tries = 0
    var last = bench.seconds
    for _ in 0..<120 {
      if Bench.commit(actions) != nil {
        tries += 1
        #expect(bench.seconds - last <= 6, "it must try again within a bound")
        last = bench.seconds
        _ = bench.machine.committed(.refused, bench.now)
      }
      bench.seconds += 1
      actions = bench.machine.tick(bench.now)
      if actions.contains(.readOffsets([1])) { actions = bench.read(nil) }
    }
    #expect((15...35).contains(tries), "\(tries) claims in two minutes")
    while Bench.commit(actions) == nil {
      bench.seconds += 1
      actions = bench.machine.tick(bench.now)
      if actions.contains(.readOffsets([1])) { actions = bench.read(nil) }
      try #require(bench.seconds < 1200)
    }
    #expect(bench.machine.committed(.known, bench.now).contains(.assign(1, offset: 0)))
  }

  @Test(arguments: ["", "something"]) func aForeignCommitStops(metadata: String) throws {
    var bench = Bench()
    _ = bench.assign()
    #expect(
      bench.read(.init(offset: 12, metadata: metadata)) == [
        .pause(1), .stopped(1, .foreignCommit(offset: 12, metadata: metadata)),
      ])
  }

  /// The topic may have been made again: the offsets of a deleted topic vanish.
  @Test func aVanishedCommitStopsBeforeItIsPutBack() throws {
    var bench = Bench()
    _ = try bench.open()
    bench.seconds += 2
    let (_, actions) = bench.machine.sealed([.init(partition: 1, last: 9, rows: 10)], bench.now)
    #expect(actions == [.readOffsets([1])])
    #expect(bench.read(nil).contains(.stopped(1, .foreignCommit(offset: nil, metadata: ""))))
  }

  @Test func aTopicWhoseIDChangesStops() throws {
    let old = DeliveryTarget.identifiedBit | 5 << 32
    let new = DeliveryTarget.identifiedBit | 6 << 32
    var bench = Bench()
    _ = bench.assign()
    #expect(bench.machine.identified([(1, old)], bench.now) == [])
    // What the claim writes names the topic.
    let claim = Bench.commit(bench.read(nil))
    let lineage = claim.flatMap { IntentMetadata($0.metadata, offset: $0.offset) }?.lineage
    #expect(lineage.map { $0 >> 32 } == old >> 32)
    _ = bench.machine.committed(.known, bench.now)
    // The lower half of a hash says nothing.
    #expect(bench.machine.identified([(1, old | 77)], bench.now) == [])
    #expect(
      bench.machine.identified([(1, new)], bench.now) == [
        .pause(1), .stopped(1, .otherLog(committed: old | 77, present: new)),
      ])

    var next = Bench()
    _ = next.assign()
    #expect(next.machine.identified([(1, new)], next.now) == [])
    let taken = next.read(claim)
    #expect(taken == [.pause(1), .stopped(1, .otherLog(committed: try #require(lineage), present: new))])
  }

  /// One that slept for longer than its session finds another member's claim: nothing is wrong with the group.
  @Test func anotherMembersClaimEndsTheHandleAndStopsNobody() throws {
    var bench = Bench()
    _ = try bench.open(start: 12)
    bench.seconds += 60
    let claim = IntentMetadata(lineage: 9, nonce: 77, fingerprint: 7, intents: [])
    let text = try #require(claim.encoded())
    #expect(bench.read(.init(offset: 500, metadata: text)) == [.renew])
  }

  @Test func aRefusedBlockIsHalvedDownToTheDeadLetter() throws {
    var bench = Bench()
    _ = try bench.open()
    let (block, _) = bench.machine.sealed([.init(partition: 1, last: 1, rows: 2)], bench.now)
    _ = bench.machine.committed(.known, bench.now)
    let halves = bench.machine.inserted(block, .refused(isCertain: true), bench.now)
    #expect(try Bench.intents(Bench.commit(halves)).map(\.isDead) == [false, false])
    #expect(halves.contains(.read(1, from: 0, through: 0, isDead: false)))
    _ = bench.machine.committed(.known, bench.now)
    let (half, collected) = bench.machine.collected(1, rows: 1, bench.now)
    #expect(bench.readBack(collected).contains { Bench.insert($0) == half })
    let alone = bench.machine.inserted(half, .refused(isCertain: true), bench.now)
    #expect(try Bench.intents(Bench.commit(alone)).map(\.isDead) == [true, false])
    #expect(alone.contains(.read(1, from: 0, through: 0, isDead: true)))
  }

  /// A refusal says nothing about an earlier attempt whose outcome is unknown.
  @Test func aBlockOfUncertainPastIsCountedBeforeItIsCut() throws {
    var bench = Bench()
    _ = try bench.open()
    let (block, _) = bench.machine.sealed([.init(partition: 1, last: 9, rows: 10)], bench.now)
    _ = bench.machine.committed(.known, bench.now)
    _ = bench.machine.inserted(block, .refused(isCertain: false), bench.now)
    #expect(bench.machine.partitions[1]?.blocks.count == 1)
    _ = bench.machine.counted(1, block: block, rows: 0, bench.now)
    #expect(bench.machine.partitions[1]?.blocks.count == 1)
    bench.seconds += 105
    _ = bench.machine.tick(bench.now)
    _ = bench.machine.counted(1, block: block, rows: 0, bench.now)
    #expect(bench.machine.partitions[1]?.blocks.map(\.intent.last) == [4, 9])
  }

  /// Blocks that wait for their turn stay out of the commit, also where something was read behind them that gave no row.
  @Test func blocksThatWaitDoNotCrowdTheCommit() throws {
    var bench = Bench()
    _ = try bench.open()
    for last in 0...40 {
      _ = bench.machine.sealed([.init(partition: 1, last: Int64(last), rows: last == 40 ? 0 : 1)], bench.now)
    }
    let actions = bench.machine.committed(.known, bench.now)
    #expect(try Bench.intents(Bench.commit(actions)).count == bench.machine.rules.pendingLimit)
  }

  @Test func aShorterLogStops() throws {
    var bench = Bench()
    let intent = Self.intent(5, 9)
    _ = try bench.open(Self.held([intent], at: 5))
    #expect(bench.machine.truncated(1, bench.now).contains(.stopped(1, .truncated(intent))))
  }

  @Test func moreRowsThanDeclaredStop() throws {
    var bench = Bench()
    let intent = Self.intent(5, 9)
    _ = try bench.open(Self.held([intent], at: 5))
    let (_, actions) = bench.machine.collected(1, rows: 6, bench.now)
    #expect(actions.contains(.stopped(1, .moreRows(intent, found: 6))))
  }

  @Test func aDrainWaitsForWhatIsHeldAndForTheLastCommit() throws {
    var bench = Bench()
    _ = try bench.open()
    let (block, _) = bench.machine.sealed([.init(partition: 1, last: 9, rows: 10)], bench.now)
    _ = bench.machine.committed(.known, bench.now)
    let deadline = bench.now.monotonic + .seconds(20)
    #expect(bench.machine.revoked([1], deadline: deadline, bench.now) == [.pause(1)])
    let last = bench.machine.inserted(block, .accepted, bench.now)
    #expect(Bench.commit(last)?.offset == 10)
    #expect(bench.machine.committed(.known, bench.now) == [.unassign([1])])
  }

  @Test func aLateDrainLeavesItsIntentsToTheNext() throws {
    var bench = Bench()
    _ = try bench.open()
    _ = bench.machine.sealed([.init(partition: 1, last: 9, rows: 10)], bench.now)
    _ = bench.machine.committed(.known, bench.now)
    _ = bench.machine.revoked([1], deadline: bench.now.monotonic + .seconds(20), bench.now)
    bench.seconds += 19
    #expect(bench.machine.nextDeadline.map { $0 <= bench.now.monotonic } == true)
    let actions = bench.machine.tick(bench.now)
    #expect(actions.first == .cancel(block: 1))
    #expect(actions.last == .unassign([1]))
  }

  @Test func aQuietPartitionRepeatsItsCommitForTheLease() throws {
    var bench = Bench()
    _ = try bench.open()
    let due = try #require(bench.machine.nextDeadline)
    #expect(due == bench.now.monotonic + .seconds(15))
    bench.seconds += 15
    #expect(bench.machine.tick(bench.now) == [.readOffsets([1])])
    let again = bench.read(bench.machine.partitions[1]?.written)
    #expect(Bench.commit(again) == bench.machine.partitions[1]?.written)
  }

  @Test func fewerRowsAfterCompactionAreDeclaredAnew() throws {
    var bench = Bench()
    _ = try bench.open(Self.held([Self.intent(5, 9)], at: 5))
    let (block, actions) = bench.machine.collected(1, rows: 3, bench.now)
    #expect(try Bench.intents(Bench.commit(bench.readBack(actions))).map(\.rows) == [3])
    #expect(bench.machine.committed(.known, bench.now).map(Bench.insert) == [block])
  }
}
