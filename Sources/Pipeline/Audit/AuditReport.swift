/// What an audit has found.
public struct AuditReport: Sendable {
  /// One partition of one topic.
  public struct Partition: Sendable {
    public let topic: String
    public let partition: Int32
    public let table: String
    /// The offsets that were looked at.
    public let range: Range<Int64>
    public let logStart: Int64
    public let logEnd: Int64
    /// nil where the group has committed nothing.
    public let committed: Int64?
    /// Rows of offsets below the log's start: they are there, and nothing can be said about them.
    public let rowsBelowLog: Int
    public let tally: AuditTally
    /// Missing and doubled offsets, ascending, up to the bound of the request.
    public let findings: [AuditFinding]
    /// How many ranges of findings there are, also beyond the bound.
    public let findingsInAll: Int
    /// Offsets in the table, or among the dead letters, that the log does not have; bounded alike.
    public let notInLog: [AuditFinding]
    public let notInLogInAll: Int
    /// What cannot be verified, or should be known to whoever reads this, in words.
    public let notes: [String]
  }

  /// By topic and number.
  public let partitions: [Partition]
  /// Of tables as a whole, in words.
  public let notes: [String]

  /// Over all partitions.
  public var tally: AuditTally { partitions.reduce(AuditTally()) { $0 + $1.tally } }
  /// Whether every offset is accounted for exactly once.
  public var isClean: Bool { partitions.allSatisfy(\.tally.isClean) }
}
