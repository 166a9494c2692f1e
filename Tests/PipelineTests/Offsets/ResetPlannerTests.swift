import KafkaClient
import Testing

@testable import Pipeline

@Suite struct ResetPlannerTests {
  private static let held = FoundPartition.text([])

  private func reset(
    _ target: OffsetReset.Target, committed: Int64? = 500, _ metadata: String = held, atTime: Int64? = nil,
    givesUp: Bool = false
  ) -> ResetPlanner.Verdict {
    ResetPlanner.plan(
      OffsetReset(to: target, givesUpPending: givesUp),
      .test(committed: committed, metadata, log: 100..<1000), atTime: atTime)
  }

  @Test(
    arguments: [
      (.earliest, 100, 0, 400), (.latest, 1000, 500, 0), (.offset(700), 700, 200, 0), (.offset(300), 300, 0, 200),
      (.shift(-50), 450, 0, 50), (.shift(50), 550, 50, 0), (.offset(5), 100, 0, 400), (.offset(.max), 1000, 500, 0),
      (.shift(.min), 100, 0, 400), (.shift(.max), 1000, 500, 0),
    ] as [(OffsetReset.Target, Int64, Int64, Int64)])
  func targets(target: OffsetReset.Target, offset: Int64, skipped: Int64, again: Int64) throws {
    let step = try #require(reset(target).step)
    #expect(step.offset == offset && step.skipped == skipped && step.again == again)
    #expect(step.metadata == "s1 0 0 0")
  }

  @Test func beyondTheLogIsSaid() {
    #expect(reset(.offset(5)).step?.remarks == ["the log has no offset 5: set to where it begins"])
    #expect(reset(.offset(5000)).step?.remarks == ["the log has no offset 5000: set to where it ends"])
    #expect(reset(.time(1), atTime: 640).step?.offset == 640)
    let late = reset(.time(1)).step
    #expect(late?.offset == 1000 && late?.remarks.count == 1)
  }

  @Test func withoutACommit() {
    #expect(reset(.shift(1), committed: nil).refused?.reason.contains("no offset to count from") == true)
    let step = reset(.offset(300), committed: nil).step
    #expect(step?.offset == 300 && step?.skipped == 200 && step?.again == 0)
  }

  @Test func aBlockInDoubtIsGivenUpByWordOnly() {
    let text = FoundPartition.text([.test(500, 599), .done(first: 600, last: 649)])
    let refusal = reset(.latest, committed: 500, text).refused
    #expect(refusal?.reason.contains("a block of 100 rows is in doubt") == true, "\(String(describing: refusal))")
    let step = reset(.latest, committed: 500, text, givesUp: true).step
    #expect(step?.blocks.map(\.outcome) == [.givenUp])
    // The fifty that are done behind the block are not skipped.
    #expect(step?.skipped == 450 && step?.again == 0)
    #expect(reset(.offset(480), committed: 500, text, givesUp: true).step?.again == 70)
  }

  @Test func whatNobodyHasSentIsInNoDoubt() {
    var intent = Intent.test(500, 599)
    intent.declaredAt = nil
    #expect(reset(.latest, FoundPartition.text([intent, .done(first: 600, last: 600)])).step != nil)
  }

  @Test func whereItStandsAlreadyNothingIsWritten() {
    #expect(reset(.offset(500)).untouched != nil)
    // A foreign offset is made ours though it stays where it is.
    let step = reset(.offset(500), committed: 500, "theirs").step
    #expect(step?.offset == 500 && step?.remarks.count == 1)
  }
}
