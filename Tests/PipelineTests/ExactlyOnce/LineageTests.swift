import SinkThreads
import Testing

@testable import Pipeline

/// Which number a partition's tokens are hashed with, after whatever the group held.
@Suite struct LineageTests {
  private static let present: UInt64 = 1 << 63 | 0x1234_5678 << 32 | 0xaaaa_aaaa
  private static let fresh: UInt64 = 0x0bad_cafe_0bad_cafe

  private func partition(lineage: UInt64? = nil, fingerprint: UInt64 = 7) -> PartitionDelivery {
    PartitionDelivery(
      target: DeliveryTarget(
        origin: .init(topic: "t", partition: 0, table: "d.t"), fingerprint: fingerprint, horizon: .seconds(3600),
        lineage: lineage, freshLineage: Self.fresh), nonce: 5)
  }

  private func takenOver(_ metadata: String, lineage: UInt64? = nil) throws -> UInt64 {
    var partition = partition(lineage: lineage)
    var number = 0
    try partition.takeOver(.init(offset: 10, metadata: metadata), start: 0, number: &number)
    return partition.lineage
  }

  private func text(_ lineage: UInt64) throws -> String {
    try #require(IntentMetadata(lineage: lineage, nonce: 1, fingerprint: 7, intents: []).encoded())
  }

  /// Records that are read again after a reset must not be swallowed by the tokens of the first time.
  @Test func whereNothingIsCarriedOnItIsDrawn() throws {
    #expect(try takenOver(IntentMetadata.nothingPending) == Self.fresh)
    #expect(try takenOver(text(77)) == 77)
    let drawn = try takenOver(IntentMetadata.nothingPending, lineage: Self.present)
    #expect(drawn >> 32 == Self.present >> 32)
    #expect(drawn & 0xffff_ffff == Self.fresh & 0xffff_ffff)
    #expect(partition(lineage: Self.present).lineage == drawn)
  }

  @Test func aKnownLogIsToldByTheUpperHalf() throws {
    let same = Self.present ^ 0x1111
    #expect(try takenOver(text(same), lineage: Self.present) == same)
    #expect(try takenOver(text(77), lineage: Self.present) >> 32 == Self.present >> 32)
    let other = Self.present ^ 1 << 40
    #expect(throws: DeliveryFault.otherLog(committed: other, present: Self.present)) {
      try takenOver(text(other), lineage: Self.present)
    }
  }

  /// `recover` has taken a block out of the middle: nobody has sent it, so that it is made again at once, and not looked
  /// for, whatever its mapping was.
  @Test func aBlockThatNobodyHasSentIsMade() throws {
    let unsent = Intent(
      first: 10, last: 19, rows: 10, declaredAt: nil, token: DeduplicationToken(high: 1, low: 2), isDead: false)
    let metadata = IntentMetadata(
      lineage: 77, nonce: 1, fingerprint: 6, intents: [unsent, .done(first: 20, last: 29)])
    let encoded = try #require(metadata.encoded())
    #expect(encoded.contains(" 9:a:0:"))
    #expect(IntentMetadata(encoded, offset: 10) == metadata)

    var partition = partition()
    var number = 0
    let now = Moment(monotonic: MonotonicInstant(nanoseconds: 0), wallSeconds: 1_700_000_000)
    let rules = DeliveryRules(session: .seconds(45), leaseMargin: .seconds(5), insertDeadline: .seconds(60))
    try partition.takeOver(.init(offset: 10, metadata: encoded), start: 0, number: &number)
    let made = partition.makeSnapshot(now, rules)
    let (claim, intents) = try #require(made)
    #expect(IntentMetadata(claim.metadata, offset: 10)?.intents.first?.declaredAt == now.wallSeconds)
    partition.know(claim, intents)
    partition.claimed(now, rules)
    #expect(partition.wantedReader(gathering: nil) == .replay(1))
    #expect(partition.position == 30)
    #expect(partition.blocks[0].isDeclared)
  }
}
