/// What an audit looks at.
public struct AuditRequest: Sendable {
  /// One end of a range.
  public enum Bound: Sendable, Equatable {
    case offset(Int64)
    /// The first record of this time or later, by the records' own timestamps: milliseconds since 1970 UTC.
    case time(milliseconds: Int64)
  }

  /// nil: all topics of all routes.
  public var topics: [String]?
  /// nil: all partitions.
  public var partitions: Set<Int32>?
  /// nil: where the log starts; where `start` is not earliest, the first offset that the table has.
  public var from: Bound?
  /// The first offset that is not looked at any more. nil: what the group has committed.
  public var to: Bound?
  /// How many ranges of findings are kept for each partition; all are counted.
  public var findingsMax: Int

  public init(
    topics: [String]? = nil, partitions: Set<Int32>? = nil, from: Bound? = nil, to: Bound? = nil, findingsMax: Int = 20
  ) {
    self.topics = topics
    self.partitions = partitions
    self.from = from
    self.to = to
    self.findingsMax = findingsMax
  }
}

/// What an audit is doing.
public enum AuditProgress: Sendable, Equatable {
  /// A table is asked what it holds of a topic.
  case askingTable(String)
  /// A topic of dead letters is read.
  case readingDeadLetters(String)
  /// So many offsets of the log are behind.
  case readingLog(offsets: Int64, of: Int64)
}
