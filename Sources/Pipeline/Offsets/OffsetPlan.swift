public import KafkaClient

/// Which of a pipeline's partitions are meant.
public struct PartitionSelection: Sendable, Equatable {
  /// nil: every topic of the routes.
  public var topic: String?
  /// Empty: all of the topic.
  public var partitions: Set<Int32>

  public init(topic: String? = nil, partitions: Set<Int32> = []) {
    self.topic = topic
    self.partitions = partitions
  }

  public static let all = PartitionSelection()

  func contains(_ partition: TopicPartition) -> Bool {
    (topic == nil || topic == partition.topic) && (partitions.isEmpty || partitions.contains(partition.partition))
  }
}

/// Where the group's offsets are to be set.
public struct OffsetReset: Sendable, Equatable {
  public enum Target: Sendable, Equatable {
    /// Where each log begins now.
    case earliest
    /// Where each log ends now.
    case latest
    case offset(Int64)
    /// The first record that is as new: milliseconds since 1970 UTC.
    case time(Int64)
    /// So many offsets on from the committed one, or back.
    case shift(Int64)
  }

  public var target: Target
  public var selection: PartitionSelection
  /// Blocks in doubt are given up: whether their rows are in the table stays unknown.
  public var givesUpPending: Bool

  public init(to target: Target, of selection: PartitionSelection = .all, givesUpPending: Bool = false) {
    self.target = target
    self.selection = selection
    self.givesUpPending = givesUpPending
  }
}

/// How partitions that stand still go on.
public struct Recovery: Sendable, Equatable {
  /// About blocks of which nobody can say whether they are in the table.
  public enum Choice: String, Sendable, CaseIterable {
    /// They count as inserted: rows that are not there are lost.
    case takeAsLanded = "take_as_landed"
    /// They are made again, under new tokens: rows that are there are doubled.
    case insertAgain = "insert_again"
  }

  /// nil: show what there is to choose.
  public var choice: Choice?
  /// With a topic the choice is for every pending block of it, also for those that a run would settle by itself.
  public var selection: PartitionSelection

  public init(_ choice: Choice? = nil, of selection: PartitionSelection = .all) {
    self.choice = choice
    self.selection = selection
  }
}

/// What a change of offsets would do; `Pipeline.apply` does it.
public struct OffsetPlan: Sendable {
  /// A partition whose offset is set.
  public struct Step: Sendable {
    public let before: PartitionOffsets
    /// What will be committed.
    public let offset: Int64
    /// Beside it.
    let metadata: String
    /// Offsets that are not accounted for and will not be read any more.
    public let skipped: Int64
    /// Offsets that are accounted for and will be read again: their rows will be in the table twice.
    public let again: Int64
    public let blocks: [BlockPlan]
    /// What else there is to know.
    public let remarks: [String]

    public var partition: TopicPartition { before.partition }
  }

  /// A partition that is left as it is.
  public struct Stay: Sendable, Equatable {
    public let before: PartitionOffsets
    public let reason: String
    public let blocks: [BlockPlan]

    public var partition: TopicPartition { before.partition }
  }

  public let group: String
  /// nil where the broker does not tell.
  public let membership: KafkaAdmin.Group?
  public let steps: [Step]
  /// Nothing is to be done.
  public let untouched: [Stay]
  /// Something else must be said or done first: with one of these nothing is written.
  public let refused: [Stay]
  public let notes: [String]
}

/// What becomes of a pending block.
public struct BlockPlan: Sendable, Equatable {
  public enum Outcome: Sendable, Equatable {
    /// All its rows are in the table: done.
    case settled
    /// The next run settles it by itself.
    case left
    /// A person has to choose: so many rows are lost at most, or doubled at most.
    case undecided(lost: Int, doubled: Int)
    /// Counts as inserted; so many rows are missing at most.
    case taken(lost: Int)
    /// Made again; so many rows are doubled at most.
    case again(doubled: Int)
    /// The log no longer has its records: so many rows are missing at most.
    case lost(Int)
    /// Forgotten by a reset.
    case givenUp
  }

  public let block: PendingBlock
  /// How many of its offsets were found; nil where nobody looked, or where the table cannot tell.
  public let found: FoundRows?
  public let outcome: Outcome
}

/// A count by `_topic`, `_partition` and `_offset`.
public struct FoundRows: Sendable, Equatable {
  /// Different offsets of the range that the table has.
  public let table: Int
  /// As many in the dead letter table; nil where there is none that can tell.
  public let deadLetters: Int?
  /// Materialized views read the table: whether they have had these rows, no count of it says.
  public internal(set) var hasViews = false

  /// Dead letters that are in a table are counted among a block's rows.
  var all: Int { table + (deadLetters ?? 0) }
}
