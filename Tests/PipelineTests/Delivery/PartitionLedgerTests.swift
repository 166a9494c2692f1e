import TestServers
import Testing

@testable import Pipeline

@Suite struct PartitionLedgerTests {
  /// The oracle is per offset: the frontier is the first offset that was read and is still held, whatever the order in
  /// which blocks and dead letters land, with gaps in the log and dead letters inside the blocks' ranges.
  @Test(arguments: 0..<UInt64(300))
  func theFrontierIsTheFirstOffsetStillHeld(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let start = Int64.random(in: 0...1000, using: &generator)
    var ledger = PartitionLedger(position: start)
    var held: [Int64: UInt64] = [:]
    var open: [UInt64] = [1, 2]
    var holders: Set<UInt64> = []
    var nextHolder: UInt64 = 3
    var offset = start

    for _ in 0..<200 {
      if Bool.random(using: &generator) {
        // A run of records goes to one of two open blocks; some become dead letters of their own, some are tombstones.
        let block = open.randomElement(using: &generator)!
        for _ in 0..<Int.random(in: 1...8, using: &generator) {
          offset += Int64.random(in: 0...2, using: &generator)
          ledger.read(upTo: offset + 1)
          switch Int.random(in: 0..<10, using: &generator) {
          case 0: break
          case 1:
            ledger.claim(offset, through: offset, for: nextHolder)
            held[offset] = nextHolder
            holders.insert(nextHolder)
            nextHolder += 1
          default:
            ledger.claim(offset, through: offset, for: block)
            held[offset] = block
            holders.insert(block)
          }
          offset += 1
        }
      } else if let holder = holders.randomElement(using: &generator) {
        ledger.settle(holder)
        held = held.filter { $0.value != holder }
        holders.remove(holder)
        if let index = open.firstIndex(of: holder) {
          open[index] = nextHolder
          nextHolder += 1
        }
      }
      #expect(ledger.frontier == held.keys.min() ?? offset)
      #expect(ledger.isSettled == held.isEmpty)
    }
  }

  /// A row that only the server refuses becomes a dead letter long after later records were claimed.
  @Test func aLateDeadLetterHoldsTheFrontier() {
    var ledger = PartitionLedger(position: 0)
    ledger.read(upTo: 100)
    ledger.claim(0, through: 49, for: 1)
    ledger.claim(50, through: 99, for: 2)
    ledger.claim(20, through: 20, for: 3)
    ledger.settle(1)
    #expect(ledger.frontier == 20)
    ledger.settle(2)
    #expect(ledger.frontier == 20)
    ledger.settle(3)
    #expect(ledger.frontier == 100)
  }
}

@Suite struct OffsetRunTests {
  @Test(arguments: 0..<UInt64(100))
  func everyRowIsFoundInItsRun(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var runs: [OffsetRun] = []
    var expected: [(Int, Int64)] = []
    var offsets: [Int: Int64] = [:]
    for _ in 0..<Int.random(in: 1...20, using: &generator) {
      let partition = Int.random(in: 0..<3, using: &generator)
      let first = offsets[partition, default: 0] + Int64.random(in: 1...5, using: &generator)
      let count = Int.random(in: 1...6, using: &generator)
      runs.append(OffsetRun(partition: partition, firstOffset: first, firstRow: expected.count, count: count))
      for index in 0..<count { expected.append((partition, first + Int64(index))) }
      offsets[partition] = first + Int64(count)
    }
    for (row, place) in expected.enumerated() {
      let found = try #require(OffsetRun.locate(row: row, in: runs))
      #expect(found == place)
    }
    #expect(OffsetRun.locate(row: expected.count, in: runs) == nil)
  }
}
