/// What a pipeline is doing, at one moment: plain values.
public struct PipelineStatus: Sendable, Equatable {
  public enum Phase: String, Sendable {
    /// Reading schemas, joining the group.
    case starting
    /// A member of the group.
    case running
    /// Asked to end: blocks land, offsets are committed.
    case draining
    case stopped
  }

  public struct Partition: Sendable, Equatable {
    public let topic: String
    public let partition: Int32
    /// Everything below it is accounted for.
    public let frontier: Int64
    /// The next offset to be read.
    public let position: Int64
    /// Last known to be committed; nil before the first commit of this assignment.
    public let committed: Int64?
    /// The end of the log as last heard; nil while unknown.
    public let end: Int64?

    public init(topic: String, partition: Int32, frontier: Int64, position: Int64, committed: Int64?, end: Int64?) {
      self.topic = topic
      self.partition = partition
      self.frontier = frontier
      self.position = position
      self.committed = committed
      self.end = end
    }

    public var lag: Int64? { end.map { max(0, $0 - frontier) } }
  }

  public struct Alarm: Sendable, Equatable {
    public let table: String
    public let message: String

    public init(table: String, message: String) {
      self.table = table
      self.message = message
    }
  }

  public var phase = Phase.starting
  /// What is promised of each record; nil until the tables have been read.
  public var delivery: DeliveryDecision?
  public var partitions: [Partition] = []
  /// Tables that refuse inserts until a person mends it, with ClickHouse's words.
  public var alarms: [Alarm] = []
  /// Under exactly once, how long each table remembers an insert at the rate that is measured: the least of its own window
  /// and those of its views' targets and its dead letters. Empty before the first measurement.
  public var deduplicationHorizons: [String: Duration] = [:]
  public var recordsReceived = 0
  public var bytesReceived = 0
  public var rowsInserted = 0
  public var tombstones = 0
  public var recordsFiltered = 0
  public var deadLetters = 0
  public var insertsInFlight = 0
  public var blocksWaiting = 0
  /// Of blocks and request bodies, and of dead letters on their way.
  public var memoryUsedBytes = 0
  /// What these may take: the limit of the configuration less Kafka's queue.
  public var memoryLimitBytes = 0
  /// Whether partitions are paused because the budget is used up.
  public var isPaused = false

  public init() {}

  /// Records behind the ends of all partitions whose end is known.
  public var lag: Int64 { partitions.compactMap(\.lag).reduce(0, +) }
}
