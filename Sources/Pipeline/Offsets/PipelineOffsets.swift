public import KafkaClient

/// What a consumer group holds of a pipeline's partitions, and where their logs stand: `Pipeline.offsets()`.
public struct PipelineOffsets: Sendable {
  public let group: String
  /// nil where the broker does not tell.
  public let membership: KafkaAdmin.Group?
  /// By topic and number.
  public let partitions: [PartitionOffsets]
  /// What could not be asked and is missing here, in words: ClickHouse away, a topic that is not there.
  public let notes: [String]

  /// Offsets that are still to be accounted for.
  public var lag: Int64 { partitions.reduce(0) { $0 + ($1.lag ?? 0) } }
}

/// One partition of a `PipelineOffsets`.
public struct PartitionOffsets: Sendable, Equatable {
  /// Whose word stands beside the committed offset.
  public enum Commit: String, Sendable {
    /// The group has no offset: a run begins at `kafka.start`.
    case none
    /// Nothing is in doubt: at least once writes it, and a reset.
    case plain
    /// Exactly once.
    case intents
    /// Another program's. Exactly once stands still on it.
    case foreign
  }

  /// What keeps exactly once from going on here, as far as it can be seen from outside.
  public enum Trouble: Sendable, Equatable {
    case foreignCommit
    /// The log begins behind the committed offset: retention was faster.
    case lostToRetention(missing: Int64)
    /// The log ends before the committed offset, or before a pending block does: the topic was made again, or has lost its
    /// end.
    case beyondLog
    /// Kafka does not say.
    case unknown(String)
  }

  public let partition: TopicPartition
  /// Where its rows go.
  public let table: String
  public let delivery: DeliveryGuarantee
  /// The offset that the group holds, the frontier: everything below is accounted for. nil where it has none.
  public let committed: Int64?
  /// The text beside it, as it stands.
  public let metadata: String
  public let commit: Commit
  /// Blocks that are on their way or in doubt, by offset.
  public let pending: [PendingBlock]
  /// Ranges behind the frontier that are accounted for too.
  public let done: [ClosedRange<Int64>]
  /// The first offset that the log still has.
  public let logStart: Int64?
  /// The one after the last that a reader may see (of committed transactions alone, with `read_committed`).
  public let logEnd: Int64?
  /// Where a run begins that finds no commit.
  public let start: StartOffset
  public let trouble: Trouble?

  /// Where reading begins: the committed offset, else what `kafka.start` means now; nil where that is an error.
  public var position: Int64? {
    if let committed { return committed }
    return switch start {
    case .earliest: logStart
    case .latest: logEnd
    case .error: nil
    }
  }

  /// Offsets from the frontier to the log's end, gaps included.
  public var lag: Int64? {
    guard let logEnd, let position else { return nil }
    return max(0, logEnd - position)
  }

  /// Whether an offset is accounted for.
  func isDone(_ offset: Int64) -> Bool { committed.map { offset < $0 } ?? false || done.contains { $0 ~= offset } }
}

/// A block whose insert has been declared and whose outcome is not in the group yet.
public struct PendingBlock: Sendable, Equatable {
  /// Its offsets, in a log that may have gaps.
  public let offsets: ClosedRange<Int64>
  /// Rows that the range gives.
  public let rows: Int
  /// Seconds since 1970 UTC; nil: nobody has sent it yet.
  public let declaredAt: Int64?
  public let age: Duration?
  /// What ClickHouse knows its insert by.
  public let token: String
  /// The server has refused the record for its data: it goes to the dead letters.
  public let isDeadLetter: Bool
  /// How many partitions have a range in the block; 1: it is this one's alone. A part has its own rows and is decided on its
  /// own; where one is decided by hand, nobody sends the block any more, and the next run counts the others.
  public let parts: Int
  /// The other partitions of the routes whose commits have a part of it. Fewer than `parts` - 1: nobody can send it.
  public let others: [TopicPartition]
  /// Some of a block's parts are decided already: the rest is counted.
  public var isBroken: Bool { others.count + 1 < parts }
  /// How much longer the next owner sends it again without looking: a quarter of the table's horizon, less the age. Then,
  /// or when the mapping has changed since, its rows are counted first. nil where ClickHouse could not be asked.
  public internal(set) var windowLeft: Duration?
  /// It was made under another mapping, or for a table that has changed since.
  public internal(set) var isOfOtherMapping: Bool
  /// `deduplication: count`: the next owner counts what is in the table, and inserts the rest.
  public internal(set) var isCounted = false
}
