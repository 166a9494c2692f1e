import SinkThreads

@testable import KafkaClient
@testable import Pipeline

/// A consumer's handle as librdkafka keeps it: it stamps a commit when it sends it, repeats one that has no answer and
/// says nothing about that, and learns late what the group has become. KafkaClient's own judge of commits is on top.
final class ModelHandle {
  let number: Int
  let process: ModelProcess
  var member = -1
  var generation = -1
  var epoch: UInt64 = 0
  var isJoining = false
  var owned: Set<Int> = []
  var askedBack: Set<Int> = []
  var commits = CommitStateMachine()
  private var requestsSent: UInt64 = 0
  private struct Body {
    let commits: [(partition: Int, DeliveryCommit)]
    let topic: Int
  }

  private var bodies: [UInt64: Body] = [:]
  private var lastNumber: UInt64 = 0
  private static let anyOffset = [CommittedOffset(TopicPartition("t", 0), offset: 0)]

  init(number: Int, process: ModelProcess) {
    self.number = number
    self.process = process
  }

  var isCurrent: Bool { process.handle === self }
  private var world: Simulation { process.world }

  private var situation: CommitStateMachine.Situation {
    .init(requestsSent: requestsSent, generation: Int32(generation), epoch: epoch)
  }

  func enqueue(_ commits: [(partition: Int, DeliveryCommit)], by deadline: MonotonicInstant) {
    lastNumber += 1
    bodies[lastNumber] = Body(commits: commits, topic: world.broker.topicNumber)
    self.commits.enqueue(.init(number: lastNumber, offsets: Self.anyOffset, deadline: deadline))
    issue()
  }

  func issue() {
    while let request = commits.next(isJoining: isJoining, situation) { send(request.number, copy: 1) }
  }

  private func send(_ number: UInt64, copy: Int) {
    guard isCurrent, let body = bodies[number] else { return }
    if world.now < process.cutUntil {
      return process.later(process.cutUntil - world.now + 1) { [self] in send(number, copy: copy) }
    }
    requestsSent += 1
    let (member, generation) = (member, generation)
    let plan = world.plan
    let isLate = !world.isHealed && world.random.chance(plan.lateCommits)
    let isUnanswered = isLate || !world.isHealed && world.random.chance(plan.lostAnswers)
    let delay = isLate ? world.random.between(400, 9_000) : world.random.between(1, 12)
    world.after(delay) { [self] in
      let error = apply(body, member, generation)
      if isLate { world.note(error == nil ? "a late copy was written" : "a late copy was refused") }
      if !isUnanswered || isLate && delay < 1_000 {
        process.later(world.random.between(1, 10)) { [self] in answer(number, error) }
      }
    }
    // Connection lost or request timed out: librdkafka sends it again by itself, stamped anew.
    if isUnanswered, copy < 3 {
      process.later(world.random.between(900, 1_300)) { [self] in
        if bodies[number] != nil {
          world.note("a commit was sent again")
          send(number, copy: copy + 1)
        }
      }
    }
  }

  private func apply(_ body: Body, _ member: Int, _ generation: Int) -> ModelBroker.CommitError? {
    if let error = world.broker.validate(instance: process.index, member: member, generation: generation) {
      return error
    }
    // A commit that outlives its topic and lands on the next one of that name passes for that one's: without ids no rule
    // tells, and the document says so.
    if body.topic != world.broker.topicNumber {
      guard world.plan.knowsTopics else { return .unknownTopic }
      world.note("a commit outlived its topic")
    }
    var error: ModelBroker.CommitError?
    if !world.isHealed, world.random.chance(world.plan.refusedCommits) {
      error = world.random.chance(0.5) ? .rebalance : .oneRefused
    }
    if error == .rebalance { return error }
    for (partition, commit) in body.commits {
      if error == .oneRefused, world.random.chance(0.5) { continue }
      world.say("held \(partition): \(commit.offset) \(commit.metadata) by p\(process.index)")
      world.broker.held[partition] = .init(offset: commit.offset, metadata: commit.metadata)
      world.checkHeld(partition)
    }
    return error
  }

  private func answer(_ number: UInt64, _ error: ModelBroker.CommitError?) {
    guard isCurrent, bodies.removeValue(forKey: number) != nil else { return }
    let isIgnored = world.plan.breakage == .partial && error == .oneRefused
    let native = (isIgnored ? nil : error).map { KafkaError(code: .broker, message: "\($0)", nativeCode: 1) }
    if world.plan.breakage == .dropOnUnknown {
      if commits.answered(number, native, Self.anyOffset, situation) != nil {
        process.committed(native == nil ? .known : .refused)
      }
    } else if let outcome = commits.answered(number, native, Self.anyOffset, situation) {
      report(outcome)
    }
    issue()
    if error == .unknownMember || error == .illegalGeneration { process.evicted(self) }
  }

  func due(_ now: MonotonicInstant) {
    for outcome in commits.due(now) where isCurrent {
      if world.plan.breakage == .dropOnUnknown { process.committed(.refused) } else { report(outcome) }
    }
    if isCurrent { issue() }
  }

  private func report(_ outcome: CommitStateMachine.Outcome) {
    switch outcome.result {
    case .known: process.committed(.known)
    case .refused: process.committed(.refused)
    case .unknown: process.committed(.unknown)
    }
  }
}
