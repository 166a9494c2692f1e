import Testing

@testable import Pipeline

@Suite struct ReplayStateTests {
  /// One poll brings records and, behind them, the end of the log. A block that ends within these records leads to a seek:
  /// the end that follows is of before, though it lies beyond what was sought, and 387 records were once taken for read.
  @Test func whatWasFetchedBeforeASeekSaysNothingAfterIt() {
    var replay = ReplayState()
    #expect(!replay.isStale(7))
    replay.sought(53_166, in: 7)
    #expect(replay.cursor == 53_166)
    #expect(replay.isStale(7))
    #expect(!replay.isStale(8))
  }
}
