import SinkThreads
import TestServers
import Testing

@testable import Pipeline

@Suite struct InsertQueueTests {
  /// Whatever fails, whenever: never more in flight than allowed, every block released once, in the end all of them.
  @Test(arguments: 0..<UInt64(200))
  func everyBlockIsReleasedOnce(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let limit = Int.random(in: 1...5, using: &generator)
    var queue = InsertQueueStateMachine(limitInFlight: limit, policy: RetryPolicy())
    var now = MonotonicInstant(nanoseconds: 0)
    var inFlight: [UInt64] = []
    var released: Set<UInt64> = []
    var added: UInt64 = 0
    var steps = 0

    while released.count < 60 {
      steps += 1
      guard steps < 100_000 else {
        Issue.record("blocks are stuck: \(released.count) of 60 released")
        return
      }
      if added < 60, Bool.random(using: &generator) {
        added += 1
        queue.add(added, table: "t\(added % 3)")
      }
      inFlight += queue.takeReady(now)
      #expect(inFlight.count == queue.inFlight && queue.inFlight <= limit)
      if let index = inFlight.indices.randomElement(using: &generator) {
        let id = inFlight.remove(at: index)
        let verdict: InsertQueueStateMachine.Verdict =
          Int.random(in: 0..<3, using: &generator) == 0
          ? [.retry, .alarm].randomElement(using: &generator)! : .accepted
        switch queue.finished(id, verdict, now, random: Double.random(in: 0..<1, using: &generator)) {
        case .release: #expect(released.insert(id).inserted)
        case .retryAt(let until, _): #expect(until > now && verdict != .accepted)
        case .split: Issue.record("nothing was to be split")
        }
      } else if let deadline = queue.nextDeadline, deadline > now {
        now = deadline
      }
    }
    #expect(queue.isEmpty && queue.inFlight == 0 && queue.nextDeadline == nil)
  }

  @Test func aTableThatFailsIsAskedByOneBlockAtATime() {
    var queue = InsertQueueStateMachine(limitInFlight: 4, policy: RetryPolicy(initial: .seconds(1), cap: .seconds(8)))
    var now = MonotonicInstant(nanoseconds: 0)
    for id in 1...6 { queue.add(UInt64(id), table: id < 6 ? "down" : "up") }
    #expect(queue.takeReady(now) == [1, 2, 3, 6], "the last slot is for who has none")
    _ = queue.finished(2, .retry, now, random: 0)
    _ = queue.finished(1, .retry, now, random: 0)
    #expect(queue.takeReady(now) == [], "the others of the table wait")
    _ = queue.finished(3, .retry, now, random: 0)
    _ = queue.finished(6, .accepted, now, random: 0)
    now = now + .seconds(1)
    #expect(queue.takeReady(now) == [2], "the first that failed probes")
    _ = queue.finished(2, .accepted, now, random: 0)
    #expect(queue.takeReady(now) == [1, 3, 4], "then the others")
  }

  /// Neither a failure nor an answer comes: what another table brings later goes all the same.
  @Test(arguments: 1...6)
  func aTableThatStandsStillLeavesASlot(limit: Int) {
    var queue = InsertQueueStateMachine(limitInFlight: limit, policy: RetryPolicy())
    let now = MonotonicInstant(nanoseconds: 0)
    for id in 1...10 { queue.add(UInt64(id), table: "alone") }
    #expect(queue.takeReady(now).count == limit, "as long as it is the only one it has all")
    for id in 1...limit { _ = queue.finished(UInt64(id), .accepted, now, random: 0) }
    queue.add(20, table: "other")
    _ = queue.takeReady(now)
    _ = queue.isInFlight(20) ? queue.finished(20, .accepted, now, random: 0) : .release
    #expect(queue.nextDeadline == nil, "nobody is woken for a slot that is not to be had")
    queue.add(21, table: "other")
    #expect(limit == 1 || queue.takeReady(now) == [21])
    queue.add(22, table: "other")
    #expect(queue.takeReady(now) == [], "nor does the other take more than there is")
  }

  /// What may store rows again is tried some twenty times in a day, not three thousand times.
  @Test func attemptsThatRepeatRowsGetRare() {
    var queue = InsertQueueStateMachine(limitInFlight: 2, policy: RetryPolicy())
    var now = MonotonicInstant(nanoseconds: 0)
    queue.add(1, table: "t")
    var attempts = 0
    while now < MonotonicInstant(nanoseconds: 86_400_000_000_000) {
      #expect(queue.takeReady(now) == [1])
      attempts += 1
      guard case .retryAt(let until, _) = queue.finished(1, .repeatsRows, now, random: 1) else { return }
      now = until
    }
    #expect((15...25).contains(attempts), "\(attempts)")
  }

  @Test func delaysDoubleUpToTheCap() {
    let policy = RetryPolicy(initial: .milliseconds(200), cap: .seconds(30))
    #expect(policy.delay(afterAttempt: 1, random: 1) == .milliseconds(200))
    #expect(policy.delay(afterAttempt: 1, random: 0) == .milliseconds(100))
    #expect(policy.delay(afterAttempt: 4, random: 1) == .milliseconds(1600))
    #expect(policy.delay(afterAttempt: 1_000_000, random: 1) == .seconds(30))
  }
}

@Suite struct SealPolicyTests {
  @Test func aBlockIsSealedByWhatItReachesFirst() {
    let policy = SealPolicy(maxRows: 100, maxBytes: 1000, linger: .seconds(1))
    #expect(policy.reason(rows: 0, bytes: 5000, age: .seconds(9)) == nil, "an empty block is never sealed")
    #expect(policy.reason(rows: 100, bytes: 1, age: .zero) == .rows)
    #expect(policy.reason(rows: 99, bytes: 1000, age: .zero) == .bytes)
    #expect(policy.reason(rows: 1, bytes: 1, age: .seconds(1)) == .age)
    #expect(policy.reason(rows: 99, bytes: 999, age: .milliseconds(999)) == nil)
  }
}
