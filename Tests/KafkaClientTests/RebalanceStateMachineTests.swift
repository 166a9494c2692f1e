import SinkThreads
import TestServers
import Testing

@testable import KafkaClient

/// Which partitions are offered, read and asked back: no thread, no clock, no broker.
@Suite struct RebalanceStateMachineTests {
  private let a = TopicPartition("t", 0)
  private let b = TopicPartition("t", 1)
  private let c = TopicPartition("t", 2)

  private func at(_ milliseconds: Int64) -> MonotonicInstant { MonotonicInstant(nanoseconds: milliseconds * 1_000_000) }

  private func machine(reading partitions: [TopicPartition]) -> RebalanceStateMachine {
    var machine = RebalanceStateMachine(patience: .milliseconds(100))
    _ = machine.given(partitions, at(0))
    machine.accepted(partitions)
    return machine
  }

  @Test func anEmptyOfferIsAnsweredAtOnceAndAnotherByItsDeadline() {
    var machine = RebalanceStateMachine(patience: .milliseconds(100))
    let answersAtOnce = machine.given([], at(0))
    #expect(answersAtOnce)
    let isAnswered = machine.given([a, b], at(0))
    #expect(!isAnswered)
    #expect(machine.due(at(99)) == [])
    #expect(machine.due(at(100)) == [.answerOffer])
    #expect(machine.due(at(500)) == [])
    // Still ours to accept.
    #expect(throws: Never.self) { try machine.check([a]) }
    #expect(throws: KafkaError.self) { try machine.check([c]) }
  }

  @Test func whatIsAskedBackGoesTogether() {
    var machine = machine(reading: [a, b, c])
    let epoch = machine.epoch
    #expect(machine.askedBack([a, b], at(10)) == at(110))
    #expect(machine.epoch > epoch)
    #expect(machine.release([a]) == [.wait])
    #expect(machine.assigned == [a, b, c])
    #expect(machine.release([b]) == [.giveBack([a, b])])
    #expect(machine.assigned == [c])
    #expect(!machine.isRevoking)
  }

  @Test func whatIsNotReleasedByTheDeadlineIsTaken() {
    var machine = machine(reading: [a, b])
    _ = machine.askedBack([a, b], at(0))
    _ = machine.release([b])
    #expect(machine.due(at(99)) == [])
    #expect(machine.due(at(100)) == [.takeBack([a, b], lost: [a])])
    #expect(machine.assigned.isEmpty)
  }

  @Test func whatNobodyAskedForStaysOffered() {
    var machine = machine(reading: [a, b])
    #expect(machine.release([a]) == [.unassign([a])])
    #expect(machine.assigned == [b] && machine.offered == [a])
    // In the midst of a revocation it is told apart from what answers that.
    _ = machine.askedBack([b], at(0))
    machine.accepted([a])
    #expect(machine.release([a]) == [.wait, .unassign([a])])
    #expect(machine.release([b]) == [.giveBack([b])])
    #expect(machine.offered == [a])
  }

  @Test func anOfferThatIsAskedBackUnreadIsGivenBackByName() {
    var machine = RebalanceStateMachine(patience: .milliseconds(100))
    _ = machine.given([a], at(0))
    _ = machine.askedBack([a], at(1))
    #expect(machine.release([a]) == [.giveBack([])], "librdkafka still waits for a call")
  }

  @Test func aLossEndsARevocation() {
    var machine = machine(reading: [a, b])
    _ = machine.askedBack([a], at(0))
    let lost = machine.lost([a, b])
    #expect(lost.unassign == [a, b] && lost.lost == [a, b])
    #expect(machine.due(at(1000)) == [])
    #expect(!machine.isRevoking)
  }

  /// Whatever comes in whatever order: nothing is read that was not given, and no answer stays out.
  @Test func everyAnswerComesByItsDeadline() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var random = SeededGenerator(seed: seed)
    for _ in 0..<300 {
      var machine = RebalanceStateMachine(patience: .milliseconds(100))
      var owned: Set<TopicPartition> = []
      var now: Int64 = 0
      let all = (0..<5).map { TopicPartition("t", $0) }
      for _ in 0..<60 {
        let some = all.filter { _ in Bool.random(using: &random) }
        switch Int.random(in: 0..<6, using: &random) {
        case 0 where !machine.isRevoking && !machine.isOfferOpen:
          let fresh = some.filter { !owned.contains($0) }
          _ = machine.given(fresh, at(now))
          owned.formUnion(fresh)
        case 1:
          let offered = some.filter { machine.offered.contains($0) }
          #expect(throws: Never.self) { try machine.check(offered) }
          machine.accepted(offered)
        case 2 where !machine.isRevoking && !machine.isOfferOpen:
          let held = some.filter { owned.contains($0) }
          guard !held.isEmpty else { break }
          _ = machine.askedBack(held, at(now))
          owned.subtract(held)
        case 3: _ = machine.release(some)
        case 4: now += Int64.random(in: 0...60, using: &random)
        default:
          for overdue in machine.due(at(now)) {
            if case .takeBack(_, let lost) = overdue { #expect(!lost.isEmpty, "seed \(seed)") }
          }
          #expect(machine.nextDeadline.map { $0 > at(now) } ?? true, "seed \(seed): something is overdue for ever")
        }
        #expect(machine.assigned.isDisjoint(with: machine.offered), "seed \(seed)")
        if !machine.isRevoking { #expect(machine.assigned.isSubset(of: owned), "seed \(seed)") }
      }
    }
  }
}
