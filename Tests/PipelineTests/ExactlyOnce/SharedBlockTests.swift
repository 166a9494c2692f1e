import SinkThreads
import Testing

@testable import Pipeline

/// Blocks that hold ranges of several partitions, rule by rule.
@Suite struct SharedBlockTests {
  /// A machine with partitions 1 and 2 of one table, and the group's commits as far as it has written them.
  private struct Bench {
    var machine = ExactlyOnceStateMachine(
      rules: DeliveryRules(session: .seconds(45), leaseMargin: .seconds(5), insertDeadline: .seconds(60)))
    var seconds: Int64 = 1_000
    var held: [Int: PartitionDelivery.Snapshot] = [:]

    var now: Moment {
      Moment(monotonic: MonotonicInstant(nanoseconds: seconds * 1_000_000_000), wallSeconds: 1_700_000_000 + seconds)
    }

    static func target(_ partition: Int) -> DeliveryTarget {
      DeliveryTarget(
        origin: .init(topic: "t", partition: Int32(partition), table: "d.t"), fingerprint: 7, horizon: .seconds(3600),
        lineage: nil, freshLineage: 9)
    }

    /// Assigned and claimed: what the group holds is read and written again.
    mutating func open(_ ids: [Int]) -> [DeliveryAction] {
      let now = now
      _ = machine.assigned(ids.map { ($0, Self.target($0)) }, nonce: UInt64(seconds), now)
      let actions = machine.offsetsRead(ids.map { ($0, held[$0], 0) }, now)
      return write(actions)
    }

    /// The commit among the actions, written for those partitions only; the answer is as the broker gives it.
    mutating func write(_ actions: [DeliveryAction], only: Set<Int>? = nil) -> [DeliveryAction] {
      var isWhole = true
      for case .commit(let commits) in actions {
        for commit in commits {
          if only?.contains(commit.partition) == false {
            isWhole = false
          } else {
            held[commit.partition] = .init(offset: commit.offset, metadata: commit.metadata)
          }
        }
      }
      return machine.committed(isWhole ? .known : .refused, now)
    }

    /// What the group holds is as it was written.
    mutating func readBack() -> [DeliveryAction] {
      machine.offsetsRead(held.keys.sorted().map { ($0, held[$0], 0) }, now)
    }

    /// A block of ten offsets of each partition.
    mutating func seal() -> (block: Int, [DeliveryAction]) {
      machine.sealed([.init(partition: 1, last: 9, rows: 10), .init(partition: 2, last: 9, rows: 8)], now)
    }

    func intents(_ id: Int) throws -> [Intent] {
      let snapshot = try #require(held[id])
      return try #require(IntentMetadata(snapshot.metadata, offset: snapshot.offset)).intents
    }
  }

  private static func inserts(_ actions: [DeliveryAction]) -> [Int] {
    actions.compactMap { if case .insert(let block, _, _) = $0 { block } else { nil } }
  }

  @Test func itIsSentOnceEveryPartIsKnown() throws {
    var bench = Bench()
    _ = bench.open([1, 2])
    let (block, sealed) = bench.seal()
    // The request is written for one of the two.
    #expect(bench.write(sealed, only: [1]) == [])
    bench.seconds += 1
    #expect(bench.machine.tick(bench.now) == [.readOffsets([1, 2])])
    let again = bench.machine.offsetsRead([1, 2].map { ($0, bench.held[$0], 0) }, bench.now)
    #expect(Self.inserts(again).isEmpty)
    #expect(Self.inserts(bench.write(again)) == [block])
    let (one, two) = (try bench.intents(1), try bench.intents(2))
    #expect(one.map(\.token) == two.map(\.token) && one.map(\.parts) == [2])
    #expect(one.map(\.rows) == [10] && two.map(\.rows) == [8])
    _ = bench.machine.inserted(block, .accepted, bench.now)
    #expect(bench.machine.partitions.values.allSatisfy { $0.frontier == 10 })
  }

  @Test func whoHasEveryPartMakesItAgain() throws {
    var bench = Bench()
    _ = bench.open([1, 2])
    let (_, sealed) = bench.seal()
    _ = bench.write(sealed)
    let token = try bench.intents(1)[0].token
    _ = bench.machine.lost()
    let taken = bench.open([1, 2])
    #expect(taken.contains(.read(1, from: 0, through: 9, isDead: false)))
    #expect(taken.contains(.read(2, from: 0, through: 9, isDead: false)))
    let (block, first) = bench.machine.collected(2, rows: 8, bench.now)
    let (same, second) = bench.machine.collected(1, rows: 10, bench.now)
    #expect(block == same)
    // What the group holds is read back once more before it is sent under its token.
    #expect(!first.contains(.readOffsets([1, 2])))
    #expect(Self.inserts(second).isEmpty && second.contains(.readOffsets([1, 2])))
    let sent = bench.readBack()
    #expect(Self.inserts(sent) == [block])
    #expect(sent.contains { if case .insert(_, token, _) = $0 { true } else { false } })
  }

  /// Whoever else could send the block has been an owner of this partition, and falls silent in time.
  @Test(arguments: [10, 0]) func whoHasSomePartsCountsThem(rows: Int) throws {
    var bench = Bench()
    _ = bench.open([1, 2])
    let (_, sealed) = bench.seal()
    _ = bench.write(sealed)
    let token = try bench.intents(1)[0].token
    _ = bench.machine.lost()
    let taken = bench.open([1])
    let number = try #require(bench.machine.partitions[1]?.blocks.first?.number)
    #expect(taken.contains(.count(1, block: number, first: 0, last: 9)))
    // Reading goes on behind it meanwhile.
    #expect(taken.contains(.read(1, from: 10, through: nil, isDead: false)))
    _ = bench.machine.counted(1, block: number, rows: rows, bench.now)
    guard rows == 0 else {
      #expect(bench.machine.partitions[1]?.frontier == 10)
      return
    }
    bench.seconds += 105
    _ = bench.machine.tick(bench.now)
    let own = bench.machine.counted(1, block: number, rows: 0, bench.now)
    #expect(own.contains(.read(1, from: 0, through: 9, isDead: false)))
    let intent = try #require(bench.machine.partitions[1]?.blocks.first?.intent)
    #expect(!intent.isShared && intent.token != token && intent.rows == 10)
  }

  /// The rest may come with a later step of the rebalance.
  @Test func partsThatComeLaterMakeItWhole() throws {
    var bench = Bench()
    _ = bench.open([1, 2])
    let (_, sealed) = bench.seal()
    _ = bench.write(sealed)
    _ = bench.machine.lost()
    _ = bench.open([1])
    let number = try #require(bench.machine.partitions[1]?.blocks.first?.number)
    _ = bench.machine.counted(1, block: number, rows: 0, bench.now)
    let more = bench.open([2])
    #expect(more.contains(.read(1, from: 0, through: 9, isDead: false)))
    #expect(more.contains(.read(2, from: 0, through: 9, isDead: false)))
  }

  /// Nobody can have sent it: each part is cut anew at once.
  @Test func ofAStoppedPartitionTheOthersGoOn() throws {
    var bench = Bench()
    _ = bench.open([1, 2])
    bench.seconds += 2
    let (block, sealed) = bench.seal()
    #expect(sealed == [.readOffsets([1, 2])])
    let actions = bench.machine.offsetsRead([(1, bench.held[1], 0), (2, nil, 0)], bench.now)
    #expect(actions.contains(.cancel(block: block)))
    #expect(actions.contains(.stopped(2, .foreignCommit(offset: nil, metadata: ""))))
    #expect(actions.contains(.read(1, from: 0, through: 9, isDead: false)))
    _ = bench.write(actions)
    #expect(try bench.intents(1).map(\.parts) == [1])
  }

  @Test func onePartitionThatIsGivenUpLeavesTheOthersInDoubt() throws {
    var bench = Bench()
    _ = bench.open([1, 2])
    let (block, sealed) = bench.seal()
    #expect(Self.inserts(bench.write(sealed)) == [block])
    _ = bench.machine.revoked([1], deadline: bench.now.monotonic + .seconds(20), bench.now)
    bench.seconds += 19
    let actions = bench.machine.tick(bench.now)
    #expect(actions.contains(.cancel(block: block)))
    #expect(actions.contains(.unassign([1])))
    #expect(actions.contains { if case .count(2, block, _, _) = $0 { true } else { false } })
    // The next owner of the first partition finds what was declared.
    #expect(try bench.intents(1).map(\.parts) == [2])
    // Its answer comes too late to mean anything.
    #expect(bench.machine.inserted(block, .accepted, bench.now) == [])
  }

  @Test func refusedForItsDataItIsTakenApart() throws {
    var bench = Bench()
    _ = bench.open([1, 2])
    let (block, sealed) = bench.seal()
    _ = bench.write(sealed)
    let actions = bench.machine.inserted(block, .refused(isCertain: true), bench.now)
    #expect(actions.contains(.read(1, from: 0, through: 9, isDead: false)))
    #expect(actions.contains(.read(2, from: 0, through: 9, isDead: false)))
    _ = bench.write(actions)
    let (one, two) = (try bench.intents(1), try bench.intents(2))
    #expect(one.map(\.parts) == [1] && two.map(\.parts) == [1] && one[0].token != two[0].token)
  }

  /// Two at a time would be held in parts, and the memory for the second might never come.
  @Test func oneAtATimeIsMadeAgain() throws {
    var bench = Bench()
    _ = bench.open([1, 2])
    let (_, first) = bench.seal()
    _ = bench.write(first)
    let (_, second) = bench.machine.sealed(
      [.init(partition: 1, last: 19, rows: 10), .init(partition: 2, last: 19, rows: 10)], bench.now)
    _ = bench.write(second)
    _ = bench.machine.lost()
    _ = bench.open([1, 2])
    let (_, waits) = bench.machine.collected(1, rows: 10, bench.now)
    #expect(waits == [.pause(1)])
    let (block, _) = bench.machine.collected(2, rows: 8, bench.now)
    let goesOn = bench.machine.partitions[1]?.reader
    #expect(goesOn == .replay(block + 1))
    #expect(Self.inserts(bench.readBack()) == [block])
  }
}
