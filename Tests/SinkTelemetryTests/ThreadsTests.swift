import SinkThreads
import Synchronization
import Testing

@Suite struct ThreadsTests {
  @Test func aWakeBeforeTheSleepIsKept() {
    let signal = WakeSignal()
    signal.wake()
    signal.wake()
    let clock = ContinuousClock()
    let start = clock.now
    #expect(signal.wait(atMost: .seconds(300)))
    #expect(clock.now - start < .seconds(60))
    #expect(!signal.wait(atMost: .milliseconds(1)), "two wakes end one sleep")
  }

  @Test func messagesOfManyThreadsArriveOnceAndInEachThreadsOrder() async {
    let signal = WakeSignal()
    let mailbox = Mailbox<(Int, Int)> { signal.wake() }
    let received = Mutex<[(Int, Int)]>([])
    let reader = NamedThread(name: "reader") {
      while received.withLock({ $0.count }) < 4000 {
        let taken = mailbox.takeAll()
        received.withLock { $0 += taken }
        if taken.isEmpty { signal.wait(atMost: .seconds(5)) }
      }
    }
    await withTaskGroup { group in
      for sender in 0..<4 {
        group.addTask { for number in 0..<1000 { mailbox.post((sender, number)) } }
      }
    }
    reader.join()
    let all = received.withLock { $0 }
    for sender in 0..<4 { #expect(all.filter { $0.0 == sender }.map(\.1) == Array(0..<1000)) }
    #expect(mailbox.close().isEmpty)
    #expect(!mailbox.post((0, 0)), "a closed mailbox says that nobody will read")
  }

  @Test func instantsAndDurationsClampInsteadOfTrapping() {
    let early = MonotonicInstant(nanoseconds: 5)
    #expect((early + .seconds(2)).nanoseconds == 2_000_000_005)
    #expect((early + .seconds(Int64.max)).nanoseconds == .max)
    #expect(early + .seconds(1) - early == .seconds(1))
    #expect(Duration.seconds(Int64.max).milliseconds == Int32.max)
    #expect(Duration.milliseconds(1500).seconds == 1.5)
  }
}
