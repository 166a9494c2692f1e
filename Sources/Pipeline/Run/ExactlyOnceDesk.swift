internal import KafkaClient
internal import SinkThreads

/// What exactly once keeps on the consumer's thread beside its state machine: which sealed block is which of the machine's,
/// and what is still to be done.
struct ExactlyOnceDesk {
  struct HeldBlock {
    let sealed: SealedBlock.ID
    let permit: SendPermit
  }

  var machine: ExactlyOnceStateMachine
  /// By the machine's numbers.
  var held: [Int: HeldBlock] = [:]
  /// Shared blocks that are being made again, with the parts that have been read: one at a time.
  var gathered: [Int: BlockDraft] = [:]
  /// After a topic's id could not be had.
  var identifiesNotBefore: MonotonicInstant?
  var commit: CommitID?
  var commitIssuedAt = MonotonicInstant(nanoseconds: 0)
  var patience: CommitPatience
  var lease = DeliveryLease()
  var todo: [DeliveryAction] = []
  /// What each route's table is sure of, by the table's index.
  var tables: [Int: DeliveryTable]
  let time: TimeSource

  init(machine: ExactlyOnceStateMachine, tables: [Int: DeliveryTable], time: TimeSource) {
    self.machine = machine
    patience = CommitPatience(session: machine.rules.session)
    self.tables = tables
    self.time = time
  }

  mutating func tell(_ body: (inout ExactlyOnceStateMachine) -> [DeliveryAction]) { todo += body(&machine) }

  /// - Returns: the machine's number of a block that it was told of.
  mutating func take(_ body: (inout ExactlyOnceStateMachine) -> (Int, [DeliveryAction])) -> Int {
    let (number, actions) = body(&machine)
    todo += actions
    return number
  }

  func number(of sealed: SealedBlock.ID) -> Int? { held.first { $0.value.sealed == sealed }?.key }
}

/// What a route's table is sure of.
struct DeliveryTable: Sendable, Equatable {
  let fingerprint: UInt64
  /// How long a token is sure to be remembered, at the rate that is measured.
  var horizon: Duration
  /// The table's, those of its views' targets, and that of its dead letters.
  var windows: [TokenWindow] = []
  /// It has `_topic`, `_partition` and `_offset`.
  let canCount: Bool
  /// Inserts go on through materialized views, of which a count of the table says nothing.
  var hasViews = false

  /// It remembers no tokens.
  var isCounted: Bool { horizon == .zero }
}

/// How a partition is read exactly once.
struct ReplayState {
  /// The last offset of the block that is made again; nil where blocks are cut.
  var through: Int64?
  /// What is made again goes to the dead letters.
  var isDead = false
  /// Where librdkafka goes on: the next record that it hands over is the first at or after this one; nil: unknown.
  var cursor: Int64?
  /// The block that is to be made again, once the tables have said what they have of it.
  var awaited: ReplayRange?
  /// Offsets of it that are there: they become neither rows nor dead letters again.
  var known: Set<Int64> = []
  /// Those of them that were met.
  var knownRows = 0
  /// Dead letters of the open block that are not acknowledged yet. The block ends when they are.
  var letters: Set<DeadLetter.ID> = []
  /// Offsets whose dead letters this assignment has sent: a block that is made again does not send them again.
  var buried: Set<Int64> = []
  /// The open block is to end.
  var isEnding = false
  /// What is handed over in this turn was fetched before the last seek.
  private var staleTurn: UInt64?

  mutating func sought(_ position: Int64, in turn: UInt64) {
    cursor = position
    staleTurn = turn
  }

  /// Whether what is handed over in a turn was fetched before the last seek. The end of the log, if it was, would pass for
  /// the end of what was sought: everything up to it would count as read.
  func isStale(_ turn: UInt64) -> Bool { staleTurn == turn }
}

/// Offsets that a block is made of again.
struct ReplayRange: Sendable, Equatable {
  let first: Int64
  let last: Int64
  let isDead: Bool
}

extension AssignedPartition {
  /// What the open block accounts for: its rows, and its dead letters where they go to a table.
  var openRows: Int {
    let fresh = route.table.openRows + (route.deadLetterTable?.openRows ?? 0)
    return fresh == 0 ? 0 : fresh + replay.knownRows
  }

  /// Whether the records of a turn are to be taken; where not, they are gone, and what follows must be sought.
  func takes(_ turn: UInt64) -> Bool {
    if replay.isStale(turn) { return false }
    if isReading, !replay.isEnding, replay.cursor != nil { return true }
    replay.cursor = nil
    return false
  }
}
