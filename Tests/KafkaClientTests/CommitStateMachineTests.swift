import SinkThreads
import TestServers
import Testing

@testable import KafkaClient

/// When a commit goes out and what is certain afterwards: no thread, no clock, no broker.
@Suite struct CommitStateMachineTests {
  private typealias Situation = CommitStateMachine.Situation
  private let partition = TopicPartition("t", 0)

  private func request(_ number: UInt64, deadline: Int64 = 1000) -> CommitStateMachine.Request {
    .init(
      number: number, offsets: [CommittedOffset(partition, offset: Int64(number))],
      deadline: MonotonicInstant(nanoseconds: deadline))
  }

  private func situation(sent: UInt64, generation: Int32 = 1, epoch: UInt64 = 1) -> Situation {
    Situation(requestsSent: sent, generation: generation, epoch: epoch)
  }

  /// What the answer means, from the copies that went out and what changed between issue and answer.
  private func outcome(
    copies: UInt64, error: Int32? = nil, generation: Int32 = 1, epoch: UInt64 = 1
  ) -> String {
    var machine = CommitStateMachine()
    machine.enqueue(request(1))
    _ = machine.next(isJoining: false, situation(sent: 5))
    let failure = error.map { KafkaError(code: .broker, message: "", nativeCode: $0) }
    let answer = machine.answered(
      1, failure, [], situation(sent: 5 + copies, generation: generation, epoch: epoch))
    return answer.map { name($0.result) } ?? "nothing"
  }

  private func name(_ result: CommitResult) -> String {
    switch result {
    case .known: "known"
    case .refused: "refused"
    case .unknown: "unknown"
    }
  }

  @Test func onlyOneCopyUnderTheSameMembershipIsKnown() {
    #expect(outcome(copies: 1) == "known")
    #expect(outcome(copies: 2) == "unknown", "librdkafka sent it again and says that all is well")
    #expect(outcome(copies: 0) == "unknown", "nobody can have answered")
    #expect(outcome(copies: 1, generation: 2) == "unknown")
    #expect(outcome(copies: 1, epoch: 2) == "unknown")
  }

  @Test(arguments: [
    (Int32(12), "refused"), (22, "refused"), (25, "refused"), (27, "refused"), (82, "refused"), (29, "refused"),
    (7, "unknown"), (15, "unknown"), (16, "unknown"), (-1, "unknown"), (-185, "unknown"), (-195, "unknown"),
  ])
  func anErrorIsDefiniteWhereTheBrokerSaysItBeforeWriting(code: Int32, expected: String) {
    #expect(outcome(copies: 1, error: code) == expected)
    #expect(outcome(copies: 2, error: code) == "unknown", "the other copy's fate is open")
    #expect(outcome(copies: 0, error: code) == "refused", "nothing went out")
  }

  @Test func oneIsOutAtATimeAndNoneWhileJoining() {
    var machine = CommitStateMachine()
    machine.enqueue(request(1))
    machine.enqueue(request(2))
    #expect(machine.next(isJoining: true, situation(sent: 0)) == nil)
    #expect(machine.next(isJoining: false, situation(sent: 0))?.number == 1)
    #expect(machine.next(isJoining: false, situation(sent: 1)) == nil)
    _ = machine.answered(1, nil, [], situation(sent: 1))
    #expect(machine.next(isJoining: false, situation(sent: 1))?.number == 2)
  }

  @Test func whatIsLateIsUnknownAndHoldsTheLineUntilItsAnswer() {
    var machine = CommitStateMachine()
    machine.enqueue(request(1, deadline: 10))
    machine.enqueue(request(2, deadline: 20))
    machine.enqueue(request(3, deadline: 99))
    _ = machine.next(isJoining: false, situation(sent: 0))
    #expect(machine.due(MonotonicInstant(nanoseconds: 9)).isEmpty)
    let first = machine.due(MonotonicInstant(nanoseconds: 10))
    #expect(first.map(\.number) == [1] && first.map { name($0.result) } == ["unknown"])
    let second = machine.due(MonotonicInstant(nanoseconds: 20))
    #expect(second.map(\.number) == [2] && second.map { name($0.result) } == ["refused"], "it never went out")
    #expect(machine.next(isJoining: false, situation(sent: 1)) == nil)
    #expect(machine.answered(1, nil, [], situation(sent: 1)) == nil, "its outcome was said already")
    #expect(machine.next(isJoining: false, situation(sent: 1))?.number == 3)
  }

  @Test func lostPartitionsTakeTheirWaitingCommitsWithThem() {
    var machine = CommitStateMachine()
    machine.enqueue(request(1))
    machine.enqueue(request(2))
    _ = machine.next(isJoining: false, situation(sent: 0))
    #expect(machine.lost([TopicPartition("other", 0)]).isEmpty)
    #expect(machine.lost([partition]).map(\.number) == [2])
    #expect(machine.dropAll().map { name($0.result) } == ["unknown"])
    #expect(machine.nextDeadline == nil && machine.dropAll().isEmpty, "nothing is left")
  }

  /// Whatever comes in whatever order: each commit has exactly one outcome, and one at most is out.
  @Test func eachCommitHasOneOutcome() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var random = SeededGenerator(seed: seed)
    for _ in 0..<300 {
      var machine = CommitStateMachine()
      var outcomes: [UInt64: Int] = [:]
      var issued: [UInt64] = []
      var (number, now, sent): (UInt64, Int64, UInt64) = (0, 0, 0)
      func note(_ list: [CommitStateMachine.Outcome]) {
        for outcome in list { outcomes[outcome.number, default: 0] += 1 }
      }
      for _ in 0..<Int.random(in: 1...60, using: &random) {
        switch Int.random(in: 0..<6, using: &random) {
        case 0, 1:
          number += 1
          machine.enqueue(request(number, deadline: now + Int64.random(in: 0...30, using: &random)))
        case 2:
          if let next = machine.next(isJoining: Bool.random(using: &random), situation(sent: sent)) {
            issued.append(next.number)
            if Int.random(in: 0..<8, using: &random) == 0 {
              note(machine.failedToIssue(.state("no")).map { [$0] } ?? [])
              issued.removeLast()
            }
          }
        case 3:
          guard let answered = issued.first else { break }
          issued.removeFirst()
          sent += UInt64.random(in: 0...2, using: &random)
          note(machine.answered(answered, nil, [], situation(sent: sent)).map { [$0] } ?? [])
        case 4:
          now += Int64.random(in: 0...10, using: &random)
          note(machine.due(MonotonicInstant(nanoseconds: now)))
        default:
          if Int.random(in: 0..<10, using: &random) == 0 { note(machine.lost([partition])) }
        }
        #expect(issued.count <= 1, "seed \(seed)")
      }
      note(machine.dropAll())
      #expect(outcomes.count == Int(number) && outcomes.values.allSatisfy { $0 == 1 }, "seed \(seed)")
    }
  }
}
