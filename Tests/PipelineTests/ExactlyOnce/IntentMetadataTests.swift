import TestServers
import Testing

@testable import Pipeline

@Suite struct IntentMetadataTests {
  private static let origin = DeduplicationToken.Origin(topic: "events", partition: 3, table: "analytics.events")

  /// The format outlives every version of the program: this text must be read for ever.
  @Test func goldenText() throws {
    let token = DeduplicationToken(lineage: 77, origin: Self.origin, first: 1000, last: 1999, isDead: false)
    let dead = DeduplicationToken(lineage: 77, origin: Self.origin, first: 2050, last: 2050, isDead: true)
    let shared = DeduplicationToken(combining: [token, dead])
    let metadata = IntentMetadata(
      lineage: 77, nonce: 0xfeed_beef, fingerprint: .max,
      intents: [
        Intent(first: 1000, last: 1999, rows: 990, declaredAt: 1_764_025_200, token: token, isDead: false),
        .done(first: 2000, last: 2049),
        Intent(first: 2050, last: 2050, rows: 1, declaredAt: 1_764_025_201, token: dead, isDead: true),
        Intent(first: 2051, last: 2060, rows: 9, declaredAt: 1_764_025_202, token: shared, parts: 48, isDead: false),
      ])
    let text = try #require(metadata.encoded())
    #expect(
      text
        == "s1 2d 3verfnf fvvvvvvvvvvvv v7:uu:1ki9org:\(token) 1hx 0:1:1ki9orh:\(dead)d 9:9:1ki9ori:\(shared)*1g")
    #expect(IntentMetadata(text, offset: 1000) == metadata)
    #expect(token.description == "3b371jbmrudgk9kbi4t3kv1rf5")
  }

  @Test(arguments: 0..<UInt64(200)) func roundTripAndDamage(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var next = Int64.random(in: 0...1 << 40, using: &random)
    let offset = next
    var intents: [Intent] = []
    for _ in 0..<Int.random(in: 0...8, using: &random) {
      let last = next + Int64.random(in: 0...200_000, using: &random)
      if Bool.random(using: &random) {
        intents.append(.done(first: next, last: last))
      } else {
        let isDead = Bool.random(using: &random)
        intents.append(
          Intent(
            first: next, last: last, rows: Int.random(in: 0...Int(last - next + 1), using: &random),
            declaredAt: Int64.random(in: 0...1 << 33, using: &random),
            token: DeduplicationToken(high: random.next(), low: random.next()),
            parts: isDead || Bool.random(using: &random) ? 1 : Int.random(in: 2...1000, using: &random), isDead: isDead)
        )
      }
      next = last + 1
    }
    let metadata = IntentMetadata(
      lineage: random.next(), nonce: random.next(), fingerprint: random.next(), intents: intents)
    let text = try #require(metadata.encoded())
    #expect(text.utf8.count <= IntentMetadata.maxBytes)
    #expect(text.utf8.allSatisfy { 0x20...0x7e ~= $0 })
    #expect(IntentMetadata(text, offset: offset) == metadata)

    // A cut text is never taken for the whole one, and nothing that was changed into nonsense traps.
    let bytes = Array(text.utf8)
    for cut in 0..<bytes.count {
      #expect(IntentMetadata(String(decoding: bytes[..<cut], as: UTF8.self), offset: offset) != metadata)
    }
    for _ in 0..<50 {
      var damaged = bytes
      damaged[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      let read = IntentMetadata(String(decoding: damaged, as: UTF8.self), offset: offset)
      if damaged != bytes { #expect(read != metadata || read == nil) }
    }
  }

  @Test(arguments: [
    "", " ", "s1", "s1 1 2", "s2 1 2 3", "s1 1 2 3 ", "s1 1 2 3 0", "s1 1 2 W", "null", "{\"a\":1}", "s1 1 2 3 0:5:0:x",
    "s1 1 2 3 0:1:1:0000000000000000000000000*1", "s1 1 2 3 0:1:1:00000000000000000000000000*",
    "s1 1 2 3 0:1:1:00000000000000000000000000*1", "s1 1 2 3 0:1:1:00000000000000000000000000d*2",
  ])
  func whatWeDidNotWriteIsForeign(text: String) { #expect(IntentMetadata(text, offset: 5) == nil) }

  @Test func whatAtLeastOnceWritesIsOurs() {
    #expect(IntentMetadata(IntentMetadata.nothingPending, offset: 7)?.intents == [])
  }

  @Test func intentsThatDoNotFitAreNotCut() {
    let intents = (0..<200).map {
      Intent(first: $0, last: $0, rows: 1, declaredAt: 1, token: DeduplicationToken(high: 1, low: 1), isDead: false)
    }
    #expect(IntentMetadata(lineage: 1, nonce: 2, fingerprint: 3, intents: intents).encoded() == nil)
  }

  /// A token differs with everything that it stands for.
  @Test func tokensDiffer() {
    let base = (lineage: UInt64(1), topic: "a", partition: Int32(0), table: "d.t", first: Int64(0), last: Int64(9))
    func token(
      lineage: UInt64? = nil, topic: String? = nil, partition: Int32? = nil, table: String? = nil, first: Int64? = nil,
      last: Int64? = nil, isDead: Bool = false
    ) -> DeduplicationToken {
      DeduplicationToken(
        lineage: lineage ?? base.lineage,
        origin: .init(topic: topic ?? base.topic, partition: partition ?? base.partition, table: table ?? base.table),
        first: first ?? base.first, last: last ?? base.last, isDead: isDead)
    }
    let all = [
      token(), token(lineage: 2), token(topic: "a1"), token(topic: "ad", table: ".t"), token(partition: 1),
      token(table: "d.u"), token(first: 1), token(last: 10), token(isDead: true),
    ]
    #expect(Set(all).count == all.count)
    #expect(token() == token())
  }
}
