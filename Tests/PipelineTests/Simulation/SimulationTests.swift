import Foundation
import Testing

/// The delivery state machine against models of Kafka and ClickHouse, on a virtual clock, under schedules that a seed
/// decides. `SINKCTL_SIMULATIONS` is how many (`scripts/test`: 10,000), `SINKCTL_SEED` the first; with one the whole schedule
/// is printed.
@Suite struct SimulationTests {
  private static let count = number("SINKCTL_SIMULATIONS") ?? 1_000
  private static let firstSeed = UInt64(number("SINKCTL_SEED") ?? 1)

  private static func number(_ name: String) -> Int? { ProcessInfo.processInfo.environment[name].flatMap { Int($0) } }

  /// What a set of schedules must have gone through to have said anything.
  private static let mustBeSeen = [
    "a commit was sent again", "a part is counted", "a shared block is sent", "replay of a shared block",
    "a late copy was refused", "a late copy was written", "commit known", "commit refused",
    "commit unknown", "compaction", "counted: none", "counted: there", "crash", "cut", "cut short", "deduplicated",
    "deployment",
    "drained", "expired", "finished", "held by the lease", "lost", "refused", "replay", "retention", "revoked",
    "session ended", "stop", "stopped: foreignCommit", "stopped: otherLog", "stored", "taken over", "topic made again",
  ]

  @Test func everyOffsetOnce() async {
    let lanes = 2
    let parts = await withTaskGroup(of: [String: Int].self) { group in
      for lane in 0..<lanes {
        group.addTask { await Self.run(lane: lane, of: lanes) }
      }
      return await group.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) }
    }
    // Fewer need not meet all of it.
    guard Self.count >= 10_000 else { return }
    for event in Self.mustBeSeen { #expect(parts[event] != nil, "no schedule went through: \(event)") }
  }

  private static func run(lane: Int, of lanes: Int) async -> [String: Int] {
    var seen: [String: Int] = [:]
    for index in stride(from: lane, to: count, by: lanes) {
      let seed = firstSeed + UInt64(index)
      let simulation = Simulation(seed: seed, traces: count == 1)
      let outcome = simulation.run()
      seen.merge(outcome.seen, uniquingKeysWith: +)
      if count == 1 { print(simulation.trace.joined(separator: "\n")) }
      if let violation = outcome.violation {
        Issue.record("SINKCTL_SEED=\(seed) SINKCTL_SIMULATIONS=1 replays it: \(violation)")
        break
      }
      // Other tests share these threads.
      await Task.yield()
    }
    return seen
  }

  /// Each rule matters: schedules that all end well with it do not without it.
  @Test(arguments: SimulationPlan.Breakage.allCases.filter { $0 != .none })
  func withoutARuleItFails(_ rule: SimulationPlan.Breakage) async {
    for seed in 1...UInt64(400) {
      let whole = Simulation(seed: seed, focus: rule).run()
      if let violation = whole.violation { Issue.record("seed \(seed), nothing broken: \(violation)") }
      if Simulation(seed: seed, breakage: rule, focus: rule).run().violation != nil { return }
      await Task.yield()
    }
    Issue.record("\(rule) is off, and nothing failed")
  }
}
