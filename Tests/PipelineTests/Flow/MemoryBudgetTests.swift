import TestServers
import Testing

@testable import Pipeline

@Suite struct MemoryBudgetTests {
  @Test(arguments: 0..<UInt64(100))
  func pausesAtTheLimitAndResumesBelowTheMark(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var budget = MemoryBudget(limitBytes: 1000, resumeBytes: 600)
    var paused = false
    for _ in 0..<1000 {
      let used = Int.random(in: 0...1500, using: &generator)
      let action = budget.update(usedBytes: used)
      switch action {
      case .pause:
        #expect(!paused && used >= 1000)
        paused = true
      case .resume:
        #expect(paused && used <= 600)
        paused = false
      case .none: #expect(paused ? used > 600 : used < 1000)
      }
      #expect(budget.isPaused == paused && budget.isOver == (used >= 1000))
    }
  }
}
