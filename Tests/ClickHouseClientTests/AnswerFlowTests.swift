import SinkBytes
import Testing

@testable import ClickHouseClient

@Suite(.timeLimit(.minutes(10))) struct AnswerFlowTests {
  private func fill(_ flow: AnswerFlow) -> Int {
    let piece = [UInt8](repeating: 7, count: 64 << 10)
    var taken = 0
    while unsafe flow.offer(piece.span.bytes) { taken += piece.count }
    return taken
  }

  @Test func whatIsKeptHasABound() {
    let flow = AnswerFlow()
    #expect(fill(flow) == AnswerFlow.limitBytes)
    let taken = flow.takeAll()
    let (count, wasPaused) = (taken.bytes.count, taken.wasPaused)
    #expect(count == AnswerFlow.limitBytes && wasPaused)
    #expect(fill(flow) == AnswerFlow.limitBytes, "there is room again")
  }

  /// The bytes stop because there is no room; a reader that waits for more of them would wait for ever.
  @Test func aReaderThatWantsMoreThanIsKeptIsNotLeftWaiting() async {
    let flow = AnswerFlow()
    let kept = fill(flow)
    await flow.wait(forBytes: 10 * kept)
    let taken = flow.takeAll()
    let (count, wasPaused) = (taken.bytes.count, taken.wasPaused)
    #expect(count == kept && wasPaused)
  }

  /// The other way round: it waits already when the room ends.
  @Test func aReaderThatWaitsIsWokenWhenTheRoomEnds() async {
    let flow = AnswerFlow()
    async let waited: Void = flow.wait(forBytes: 3 * AnswerFlow.limitBytes)
    // Whether it waits yet or not: the room for it ends at the latest at what it wants.
    #expect(fill(flow) <= 3 * AnswerFlow.limitBytes)
    await waited
    let wasPaused = flow.takeAll().wasPaused
    #expect(wasPaused)
  }

  @Test func theEndWakesItsReader() async {
    let flow = AnswerFlow()
    async let waited: Void = flow.wait(forBytes: 1)
    flow.finish(HTTPResponse())
    await waited
    let isOver = flow.takeAll().response != nil
    #expect(isOver)
  }
}
