import KafkaClient

@testable import Pipeline

extension FoundPartition {
  static let partition = TopicPartition("events", 3)
  static let now: Int64 = 1_800_000_000

  /// A partition of an exactly-once route, whose table remembers tokens for an hour and was made under fingerprint 7.
  static func test(
    committed: Int64?, _ metadata: String = "", log: Range<Int64>, delivery: DeliveryGuarantee = .exactlyOnce,
    start: StartOffset = .earliest, others: [Int32] = [],
    table: DeliveryTable = DeliveryTable(fingerprint: 7, horizon: .seconds(3600), canCount: true)
  ) -> FoundPartition {
    func answer(_ offset: Int64?, _ text: String = "") -> CommittedOffset {
      CommittedOffset(partition, offset: offset, metadata: text)
    }
    let own = CommittedOffset(partition, offset: committed, metadata: metadata)
    let all =
      [own] + others.map { CommittedOffset(TopicPartition("events", $0), offset: committed, metadata: metadata) }
    return FoundPartition(
      Facts(
        partition: partition, route: 0,
        configuration: RouteConfiguration(topics: ["events"], table: "t", delivery: delivery), start: start,
        delivery: table,
        committed: answer(committed, metadata), logStart: answer(log.lowerBound), logEnd: answer(log.upperBound),
        holders: holders(all)),
      wallSeconds: now)
  }

  static func text(_ intents: [Intent], lineage: UInt64 = 77, fingerprint: UInt64 = 7) -> String {
    IntentMetadata(lineage: lineage, nonce: 5, fingerprint: fingerprint, intents: intents).encoded() ?? ""
  }
}

extension Intent {
  /// Of as many rows as offsets.
  static func test(_ first: Int64, _ last: Int64, age: Int64 = 10, parts: Int = 1) -> Intent {
    Intent(
      first: first, last: last, rows: Int(last - first + 1), declaredAt: FoundPartition.now - age,
      token: DeduplicationToken(high: UInt64(first), low: UInt64(last)), parts: parts,
      isDead: false)
  }
}

extension ResetPlanner.Verdict {
  var step: OffsetPlan.Step? { if case .step(let step) = self { step } else { nil } }
  var untouched: OffsetPlan.Stay? { if case .untouched(let stay) = self { stay } else { nil } }
  var refused: OffsetPlan.Stay? { if case .refused(let stay) = self { stay } else { nil } }
}
