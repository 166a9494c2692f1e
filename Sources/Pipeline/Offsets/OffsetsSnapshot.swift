internal import KafkaClient

/// One partition as it was found: the values that people see, and what the group's metadata means.
struct FoundPartition: Sendable {
  let offsets: PartitionOffsets
  /// nil where the commit is not ours.
  let metadata: IntentMetadata?
  /// The table, where it could be looked at.
  let delivery: DeliveryTable?
  let route: Int
}

extension FoundPartition {
  /// What is known of a partition before its metadata is read.
  struct Facts {
    let partition: TopicPartition
    let route: Int
    let configuration: RouteConfiguration
    var guarantee: DeliveryGuarantee { configuration.delivery ?? .exactlyOnce }
    let start: StartOffset
    let delivery: DeliveryTable?
    var committed: CommittedOffset?
    var logStart: CommittedOffset?
    var logEnd: CommittedOffset?
    /// Which partitions' commits have blocks of several partitions, as they were read.
    var holders: [DeduplicationToken: [TopicPartition]] = [:]
  }

  /// Who holds a part of each block that is shared.
  static func holders(_ committed: [CommittedOffset]) -> [DeduplicationToken: [TopicPartition]] {
    var holders: [DeduplicationToken: [TopicPartition]] = [:]
    for found in committed {
      guard let offset = found.offset, let metadata = IntentMetadata(found.metadata, offset: offset) else { continue }
      for intent in metadata.intents where intent.isShared {
        holders[intent.token, default: []].append(found.partition)
      }
    }
    return holders
  }

  /// - Parameter wallSeconds: now, since 1970 UTC.
  init(_ facts: Facts, wallSeconds: Int64) {
    let committed = facts.committed?.offset
    let text = facts.committed?.metadata ?? ""
    let metadata = committed.flatMap { IntentMetadata(text, offset: $0) }
    let commit: PartitionOffsets.Commit =
      switch (committed, metadata) {
      case (nil, _): .none
      case (_, nil): .foreign
      case (_, let metadata?): metadata.lineage == 0 && metadata.intents.isEmpty ? .plain : .intents
      }
    let pending = (metadata?.intents ?? []).filter { !$0.isDone }.map { intent in
      PendingBlock(
        intent, facts.delivery,
        others: facts.holders[intent.token, default: []].filter { $0 != facts.partition }.sorted(),
        isOfOtherMapping: facts.delivery.map { $0.fingerprint != metadata?.fingerprint } ?? false,
        wallSeconds: wallSeconds)
    }
    let logStart = facts.logStart?.offset
    let logEnd = facts.logEnd?.offset
    offsets = PartitionOffsets(
      partition: facts.partition, table: facts.configuration.table, delivery: facts.guarantee,
      committed: committed, metadata: text, commit: commit, pending: pending,
      done: (metadata?.intents ?? []).filter(\.isDone).map { $0.first...$0.last }, logStart: logStart, logEnd: logEnd,
      start: facts.start,
      trouble: Self.trouble(facts, commit, pending))
    self.metadata = metadata
    delivery = facts.delivery
    route = facts.route
  }

  private static func trouble(
    _ facts: Facts, _ commit: PartitionOffsets.Commit, _ pending: [PendingBlock]
  ) -> PartitionOffsets.Trouble? {
    for answer in [facts.committed, facts.logStart, facts.logEnd] {
      if let error = answer?.error { return .unknown(error.message) }
    }
    guard let logStart = facts.logStart?.offset, let logEnd = facts.logEnd?.offset else {
      return .unknown("the broker does not say where the log begins and ends")
    }
    // At least once goes on whatever it finds.
    guard facts.guarantee == .exactlyOnce, let committed = facts.committed?.offset else { return nil }
    if commit == .foreign { return .foreignCommit }
    if committed > logEnd || pending.contains(where: { $0.offsets.upperBound >= logEnd }) { return .beyondLog }
    if committed < logStart, pending.isEmpty { return .lostToRetention(missing: logStart - committed) }
    return nil
  }
}

extension PendingBlock {
  init(
    _ intent: Intent, _ table: DeliveryTable?, others: [TopicPartition] = [], isOfOtherMapping: Bool, wallSeconds: Int64
  ) {
    offsets = intent.first...intent.last
    rows = intent.rows
    declaredAt = intent.declaredAt
    let age = intent.declaredAt.map { Duration.seconds(max(0, wallSeconds - $0)) }
    self.age = age
    token = intent.token.description
    isDeadLetter = intent.isDead
    parts = intent.parts
    self.others = others
    self.isOfOtherMapping = isOfOtherMapping
    isCounted = table?.isCounted ?? false
    let isBlind = !isOfOtherMapping && others.count + 1 >= intent.parts
    windowLeft = table.map { table in
      !isBlind ? .zero : max(.zero, table.horizon / 4 - (age ?? .zero))
    }
  }
}
