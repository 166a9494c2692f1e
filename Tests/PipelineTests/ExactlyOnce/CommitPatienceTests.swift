import Testing

@testable import Pipeline

@Suite struct CommitPatienceTests {
  @Test func aSteadilySlowBrokerIsWaitedFor() {
    var patience = CommitPatience(session: .seconds(45))
    var missed = 0
    for _ in 0..<100 {
      let answer = Duration.milliseconds(700)
      if answer > patience.duration {
        patience.missed()
        missed += 1
      } else {
        patience.answered(after: answer)
      }
    }
    #expect(missed == 1)
    #expect(patience.duration == .seconds(1))
  }

  @Test func aBrokerThatNeverAnswersIsAskedLessAndLessOften() {
    var patience = CommitPatience(session: .seconds(45))
    for _ in 0..<20 { patience.missed() }
    #expect(patience.duration == .seconds(15))
    var short = CommitPatience(session: .seconds(1))
    short.missed()
    #expect(short.duration == CommitPatience.usual)
  }

  @Test func fastAnswersTakeItBack() {
    var patience = CommitPatience(session: .seconds(45))
    patience.missed()
    patience.missed()
    for _ in 0..<20 { patience.answered(after: .milliseconds(5)) }
    #expect(patience.duration > CommitPatience.usual && patience.duration < .seconds(2))
    for _ in 0..<100 { patience.answered(after: .milliseconds(5)) }
    #expect(!patience.isStretched)
  }
}
