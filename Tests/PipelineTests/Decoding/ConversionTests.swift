import ClickHouseClient
import Testing

@testable import Pipeline

/// docs/CONVERSIONS.md is what the decoder does.
@Suite struct ConversionTests {
  @Test func everyLineOfTheTableIsTrue() throws {
    let cells = try ConversionTable().cells
    #expect(cells.count > 250)
    for cell in cells {
      let plan = try TestPlan.make([("c", cell.type)])
      var decoder = RecordDecoder(plan: plan)
      var block = Block(layout: plan.layout)
      let found: ConversionTable.Outcome
      switch decoder.append(cell.record, to: &block) {
      case .row: found = .stored(Shown.text(block.value(row: 0, column: 0)))
      case .rejected(let rejection): found = .refused(rejection.reason.rawValue)
      case .dropped: found = .refused("dropped")
      }
      #expect(found == cell.outcome, "\(cell.description)")
    }
  }

  /// A refusal says which column, what it is, and what it got.
  @Test func aRefusalNamesColumnTypeAndValue() throws {
    let plan = try TestPlan.make([("id", "UInt8"), ("name", "String")])
    var decoder = RecordDecoder(plan: plan)
    var block = Block(layout: plan.layout)
    guard case .rejected(let rejection) = decoder.append(#"{"name":"x","id": 70000 }"#, to: &block) else {
      return #expect(Bool(false), "70000 went into a UInt8")
    }
    #expect(rejection.column == "id" && rejection.expectedType == "UInt8" && rejection.value == "70000")
    #expect(rejection.message == "column id is UInt8, not 70000: the value is out of range")
    let rows = block.rows
    #expect(rows == 0)
  }
}
