import Testing

@testable import Pipeline

@Suite struct DeliverySimulationTests {
  /// No offset is committed before it is accounted for, whatever fails, and in the end everything is.
  @Test(arguments: 0..<UInt64(400))
  func nothingIsCommittedBeforeItIsAccountedFor(seed: UInt64) {
    var simulation = DeliverySimulation(seed: seed)
    for _ in 0..<1500 where simulation.problems.isEmpty { simulation.step() }
    simulation.faults = false
    var steps = 0
    while !simulation.isDone, simulation.problems.isEmpty, steps < 20_000 {
      simulation.step()
      steps += 1
    }
    #expect(simulation.problems.isEmpty, "seed \(seed): \(simulation.problems.prefix(3))")
    #expect(simulation.isDone, "seed \(seed): it stands still")
  }

  /// A simulation that finds nothing in a broken product proves nothing.
  @Test func aForgottenClaimIsFound() {
    let isFound = (0..<UInt64(100)).contains { seed in
      var simulation = DeliverySimulation(seed: seed)
      simulation.forgetsRefusedRows = true
      for _ in 0..<1500 where simulation.problems.isEmpty { simulation.step() }
      return !simulation.problems.isEmpty
    }
    #expect(isFound)
  }
}
