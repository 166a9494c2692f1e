internal import ClickHouseClient
internal import SinkThreads

/// A table that blocks grow for, on the consumer's thread: a route's, or one for dead letters.
final class TableState {
  let target: InsertTarget
  /// Names and types of the columns that an insert carries.
  let layout: BlockLayout
  /// What seals a block: the route's policy, within the table's share of the memory budget.
  let policy: SealPolicy
  var open: OpenBlock?
  /// Exactly once: whose blocks grow here.
  weak var partition: AssignedPartition?
  /// Emptied blocks that have come back, with the memory that they have grown to. Two are enough: one grows while
  /// another is encoded.
  private var spares: [SpareBlock] = []
  private static let sparesLimit = 2

  init(target: InsertTarget, layout: BlockLayout, policy: SealPolicy) {
    self.target = target
    self.layout = layout
    self.policy = policy
  }

  /// The same table for blocks of their own.
  func another() -> TableState { TableState(target: target, layout: layout, policy: policy) }

  var name: String { target.table.description }

  func makeBlock() -> Block {
    while let spare = spares.popLast() {
      if let block = spare.take() { return block }
    }
    return Block(layout: layout)
  }

  func keep(_ spare: SpareBlock) {
    if spares.count < Self.sparesLimit { spares.append(spare) }
  }

  /// Lets go of memory that holds no row: spares, and an open block that is empty.
  func dropSpares() {
    spares = []
    if let open, open.rows == 0 { self.open = nil }
  }

  /// The open block, if it has rows; another one is opened after it.
  func takeOpen() -> OpenBlock? {
    guard let open, open.rows > 0 else { return nil }
    self.open = nil
    return open
  }

  /// What is open is thrown away.
  func clear() {
    open?.block?.removeAll()
    open?.runs = []
  }

  var openRows: Int { open?.rows ?? 0 }
  var openBytes: Int { open?.heldBytes ?? 0 }

  /// What the budget counts for it on this thread.
  var heldBytes: Int { openBytes + spares.reduce(0) { $0 + $1.bytes } }
}
