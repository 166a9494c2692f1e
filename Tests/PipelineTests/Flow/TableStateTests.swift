import ClickHouseClient
import SinkThreads
import Testing

@testable import Pipeline

@Suite struct TableStateTests {
  /// A pause ends when what is on its way has landed: nothing that stays may count then.
  @Test func memoryThatHoldsNoRowCanBeLetGo() throws {
    let layout = try BlockLayout([("text", .string)])
    let target = InsertTarget(index: 0, table: try TableName("events"), settings: [], isolatesBadRows: true)
    let table = TableState(target: target, layout: layout, policy: SealPolicy())
    for _ in 0..<3 {
      var block = Block(layout: layout)
      try block.appendRow([("text", .string(String(repeating: "a", count: 100_000)))])
      block.removeAll()
      table.keep(SpareBlock(target: 0, block: block))
    }
    #expect(table.heldBytes > 100_000, "spares keep the memory that they have grown to")
    let id: SealedBlock.ID = 1
    let opened = MonotonicInstant(nanoseconds: 0)
    table.open = OpenBlock(id: id, target: target, openedAt: opened, block: table.makeBlock())
    table.dropSpares()
    #expect(table.heldBytes == 0)

    table.open = OpenBlock(id: id, target: target, openedAt: opened, block: table.makeBlock())
    try table.open?.block?.appendRow([("text", "kept")])
    table.dropSpares()
    #expect(table.openRows == 1, "a block with a row stays")
  }
}
