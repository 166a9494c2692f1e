import Foundation
import Testing

@Suite struct SimulationTests {
  /// `SINKCTL_SIMULATIONS` schedules, from `SINKCTL_SEED` on.
  @Test func everyOffsetOnce() {
    let environment = ProcessInfo.processInfo.environment
    let count = environment["SINKCTL_SIMULATIONS"].flatMap { Int($0) } ?? 1_000
    let first = environment["SINKCTL_SEED"].flatMap { UInt64($0) } ?? 1
    var seen: [String: Int] = [:]
    var events = 0
    for seed in first..<first + UInt64(count) {
      let simulation = Simulation(seed: seed, traces: count == 1)
      let outcome = simulation.run()
      events += outcome.events
      seen.merge(outcome.seen, uniquingKeysWith: +)
      if count == 1 { print(simulation.trace.joined(separator: "\n")) }
      if let violation = outcome.violation {
        Issue.record("SINKCTL_SEED=\(seed) SINKCTL_SIMULATIONS=1: \(violation)")
        break
      }
    }
    print("events \(events)", seen.sorted { $0.key < $1.key })
  }
}

extension SimulationTests {
  /// Each rule matters: without it some schedule ends with a row doubled or lost.
  @Test(arguments: SimulationPlan.Breakage.allCases.filter { $0 != .none })
  func withoutARuleItFails(_ breakage: SimulationPlan.Breakage) {
    for seed in 1...UInt64(2_000) {
      if let violation = Simulation(seed: seed, breakage: breakage).run().violation {
        print("\(breakage) off: seed \(seed), \(violation)")
        return
      }
    }
    Issue.record("\(breakage) off: nothing failed")
  }
}
