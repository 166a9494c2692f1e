internal import ClickHouseClient
internal import Synchronization

/// A block that has stopped growing, on its way from the consumer's thread to the inserter's.
final class SealedBlock: Sendable {
  typealias ID = PartitionLedger.HolderID

  let id: ID
  let target: InsertTarget
  let rows: Int
  /// What the columns and the runs have allocated.
  let bytes: Int
  let runs: [OffsetRun]
  /// Exactly once: it is sent only when `Inserter.allow` says so, and while this holds. nil: at once.
  let permit: SendPermit?
  /// Exactly once: dead letters of the same records, which land before it.
  let deadLetters: SealedBlock?
  /// Exactly once: what follows the intent's token. Of dead letters, which may go to the table that others' rows go to.
  let tokenSuffix: String
  private let columns: Mutex<Block?>

  init(
    id: ID, target: InsertTarget, runs: [OffsetRun], permit: SendPermit?, deadLetters: SealedBlock? = nil,
    tokenSuffix: String = "", block: consuming Block
  ) {
    self.id = id
    self.target = target
    self.runs = runs
    self.permit = permit
    self.deadLetters = deadLetters
    self.tokenSuffix = tokenSuffix
    rows = block.rows
    bytes = block.capacityBytes + OffsetRun.bytes(of: runs)
    columns = Mutex(block)
  }

  /// The columns, once: whoever takes them encodes them.
  func takeBlock() -> Block? { columns.withLock { $0.take() } }
}

/// A table that blocks go to, and how.
final class InsertTarget: Sendable {
  /// Index of the table among the pipeline's targets.
  let index: Int
  let table: TableName
  /// Settings that the plan needs, such as `input_format_null_as_default`.
  let settings: [(String, String)]
  /// Whether the server goes by tokens of ours.
  let usesTokens: Bool
  /// False for dead letters: a dead letter that is refused is no dead letter again.
  let isolatesBadRows: Bool
  /// Of one attempt; nil: the client's.
  let deadline: Duration?
  /// Exactly once: a block whose outcome is unknown is counted, not sent again.
  let isCounted: Bool

  init(
    index: Int, table: TableName, settings: [(String, String)], usesTokens: Bool = true, isolatesBadRows: Bool,
    deadline: Duration? = nil,
    isCounted: Bool = false
  ) {
    self.deadline = deadline
    self.isCounted = isCounted
    self.index = index
    self.table = table
    self.settings = settings
    self.usesTokens = usesTokens
    self.isolatesBadRows = isolatesBadRows
  }
}
