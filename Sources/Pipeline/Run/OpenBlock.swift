internal import ClickHouseClient
internal import SinkThreads
internal import Synchronization

/// A block that still grows: columns, where its rows came from, and since when.
///
/// A class, so that it can lie in dictionaries; the record loop moves `block` and `runs` into locals for a whole run of
/// records and back, since a class's properties cost an exclusivity check at each access.
final class OpenBlock {
  let id: SealedBlock.ID
  let target: InsertTarget
  /// When it was last without a row: its age counts from there.
  var openedAt: MonotonicInstant
  var block: Block?
  var runs: [OffsetRun] = []

  init(id: SealedBlock.ID, target: InsertTarget, openedAt: MonotonicInstant, block: consuming Block) {
    self.id = id
    self.target = target
    self.openedAt = openedAt
    self.block = consume block
  }

  var rows: Int { block?.rows ?? 0 }
  var bytes: Int { block?.byteCount ?? 0 }
  /// What the budget counts for it: all that is allocated.
  var heldBytes: Int { (block?.capacityBytes ?? 0) + OffsetRun.bytes(of: runs) }

  /// Takes the rows of another, which keeps its memory and grows anew.
  func take(_ other: OpenBlock) {
    guard var mine = block.take(), var theirs = other.block.take() else {
      preconditionFailure("a block is not at hand")
    }
    let shift = mine.rows
    mine.append(theirs)
    theirs.removeAll()
    runs += other.runs.map {
      OffsetRun(
        partition: $0.partition, firstOffset: $0.firstOffset, firstRow: $0.firstRow + shift, count: $0.count)
    }
    other.runs = []
    block = consume mine
    other.block = consume theirs
  }

  func seal(
    _ permit: SendPermit?, deadLetters: SealedBlock? = nil, tokenSuffix: String = ""
  ) -> SealedBlock {
    guard let block = block.take() else { preconditionFailure("a block is sealed once") }
    return SealedBlock(
      id: id, target: target, runs: runs, permit: permit, deadLetters: deadLetters, tokenSuffix: tokenSuffix,
      block: block)
  }
}

/// A block on its way back from the inserter, emptied, with the memory that its columns have grown to.
final class SpareBlock: Sendable {
  let target: Int
  let bytes: Int
  private let columns: Mutex<Block?>

  init(target: Int, block: consuming Block) {
    self.target = target
    bytes = block.capacityBytes
    columns = Mutex(block)
  }

  func take() -> Block? { columns.withLock { $0.take() } }
}
