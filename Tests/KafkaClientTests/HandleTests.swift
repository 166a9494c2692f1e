import Foundation
import KafkaClient
import SinkThreads
import Synchronization
import TestServers
import Testing

@testable import KafkaClient

extension RealKafkaTests {
  /// What a consumer's handle can do beside reading on.
  @Suite(.serialized) struct HandleTests {
    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func aHandleIsDroppedAndReplacedFiftyTimes(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, partitions: 3, records: 3)
      let before = librdkafkaThreads()
      var configuration = KafkaConsumerConfiguration.quick(broker, topic, instance: "one")
      configuration.sessionTimeout = .seconds(120)
      let run = try BackgroundRun(configuration, .topics([topic]))
      try await eventually("the first records") { run.journal.count == 3 }
      let generation = run.journal.now.generation
      let member = run.journal.now.memberID
      var slowest = Duration.zero
      for round in 1...50 {
        let start = ContinuousClock.now
        run.journal.wish { $0.renew() }
        try await eventually("handle \(round)") { run.journal.now.given.count == round + 1 }
        slowest = max(slowest, ContinuousClock.now - start)
      }
      try await eventually("the records once more") { run.journal.count >= 6 }
      #expect(slowest < .seconds(40), "owned again after \(slowest), not only once a session of 120 s is over")
      #expect(run.journal.now.lost.count == 50 && run.journal.now.lost.allSatisfy { $0.count == 3 })
      // A LeaveGroup, or a join that rebalances, would have made a new generation.
      #expect(run.journal.now.generation == generation)
      #expect(run.journal.now.memberID != member)
      try await run.stop()
      #expect(run.journal.now.errors == [])
      // Fewer than were renewed: other suites have handles of their own meanwhile.
      try await eventually("every old handle is gone") { librdkafkaThreads() <= before + 20 }
    }

    /// One for each handle that lives in this process.
    private func librdkafkaThreads() -> Int {
      let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
      return tasks.count { task in
        let name = (try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8)) ?? ""
        return name.hasPrefix("rdk:main")
      }
    }

    /// Older libraries than 2.3 cannot ask.
    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func aTopicMadeAgainHasAnotherID(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker)
      let run = try BackgroundRun(.quick(broker, topic), .topics([topic]))
      try await eventually("the partition") { !run.journal.now.given.isEmpty }
      let first = try await ids([topic, "not there"], run)
      guard KafkaLibrary.versionNumber >= 0x0203_00ff else {
        #expect(first == nil)
        return try await run.stop()
      }
      #expect(first?.keys.sorted() == [topic])
      // Answers that come after their time are dropped: those of a group's coordinator abort the process.
      let late = try await run.journal.ask { control in
        (0..<300).count { _ in
          (try? control.topicIDs([topic], timeout: .milliseconds(Int64.random(in: 0...1)))) == nil
        }
      }
      #expect(try await ids([topic], run) == first)
      #expect(late > 0)
      let admin = try KafkaAdmin(brokers: [broker])
      try await admin.deleteTopic(topic, within: .patience)
      try await eventually("the topic is gone") { try await ids([topic], run)?.isEmpty == true }
      try await eventually("the topic again") {
        (try? await admin.createTopic(topic, partitions: 1, within: .patience)) != nil
      }
      try await eventually("another id") { try await ids([topic], run)?[topic].map { $0 != first?[topic] } == true }
      try await run.stop()
    }

    private func ids(_ topics: [String], _ run: BackgroundRun) async throws -> [String: TopicID]? {
      try await run.journal.ask { try $0.topicIDs(topics, timeout: .patience) }
    }

    @Test(.timeLimit(.minutes(10)))
    func aHandlerThatTakesTooLongLosesItsPartitionsAndGetsThemBack() async throws {
      let broker = try RealKafka.broker("3.9.2").bootstrap
      let topic = try await makeTopic(on: broker, records: 5)
      var configuration = KafkaConsumerConfiguration.quick(broker, topic)
      configuration.properties["max.poll.interval.ms"] = "6000"
      let run = try BackgroundRun(configuration, .topics([topic]))
      try await eventually("the first records") { run.journal.count == 5 }
      run.journal.wish { _ in Thread.sleep(forTimeInterval: 8) }
      try await eventually("the loss") { run.journal.now.lost.flatMap { $0 } == [TopicPartition(topic, 0)] }
      let codes = run.journal.now.events.compactMap { event in
        if case .error(let error, _) = event { error.code } else { nil }
      }
      #expect(codes.contains(.maxPollExceeded))
      try await eventually("the partition again") { run.journal.count == 10 }
      try await run.stop()
    }

    /// librdkafka 2.0 aborted the process, about once in a hundred times.
    @Test(.timeLimit(.minutes(10)))
    func aRunThatEndsInTheMidstOfItsJoinEndsInOrder() async throws {
      let broker = try RealKafka.broker("3.9.2").bootstrap
      let topic = try await makeTopic(on: broker)
      for _ in 0..<60 {
        let run = try BackgroundRun(.quick(broker, topic), .topics([topic]))
        try await Task.sleep(for: .milliseconds(Int.random(in: 0..<30)))
        try await run.stop()
        #expect(run.journal.now.errors == [])
      }
    }

    /// Of itself librdkafka says nothing to the group then, which waits a session for a member that is gone; before 2.3 it
    /// aborts the process where the handle is closed within its first join.
    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func aMemberThatHasNoPartitionsYetLeavesTheGroup(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, partitions: 2, records: 2)
      var configuration = KafkaConsumerConfiguration.quick(broker, topic)
      configuration.sessionTimeout = .seconds(240)
      configuration.closeDeadline = .milliseconds(100)
      let gate = Gate()
      let first = try BackgroundRun(configuration, .topics([topic]))
      try await eventually("the first records") { first.journal.count == 2 }
      first.journal.wish { _ in while gate.isShut { Thread.sleep(forTimeInterval: 0.02) } }
      let second = try BackgroundRun(configuration, .topics([topic]))
      let admin = try KafkaAdmin(brokers: [broker])
      try await eventually("a second member") {
        let group = try await admin.describeGroup(topic, within: .patience)
        return group.state == .preparingRebalance || group.members.count == 2
      }
      try await second.stop()
      gate.open()
      try await eventually("a group of one") {
        let group = try await admin.describeGroup(topic, within: .patience)
        return group.state == .stable && group.members.count == 1 && group.members[0].partitions.count == 2
      }
      try await first.stop()
    }

    private final class Gate: Sendable {
      private let shut = Mutex(true)
      var isShut: Bool { shut.withLock { $0 } }
      func open() { shut.withLock { $0 = false } }
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func anOfferThatNobodyAcceptsDoesNotHoldUpTheEnd(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, partitions: 2)
      var configuration = KafkaConsumerConfiguration.quick(broker, topic)
      configuration.shutdownDeadline = .seconds(120)
      let run = try BackgroundRun(configuration, .topics([topic])) { $0.onAssigned = { _, _ in } }
      try await eventually("an offer") { !run.journal.now.given.isEmpty }
      let start = ContinuousClock.now
      try await run.stop()
      #expect(ContinuousClock.now - start < .seconds(60), "closing has 120 s before it gives up")
    }

    /// A reader that stops reading: partitions pause, polling and heartbeats go on, memory stays bounded.
    @Test(.timeLimit(.minutes(10)))
    func aSlowReaderPausesPartitionsInsteadOfBlocking() async throws {
      let broker = try RealKafka.broker("4.4.0").bootstrap
      let topic = try await makeTopic(on: broker, partitions: 2, records: 20_000)
      var configuration = KafkaConsumerConfiguration.quick(broker, topic)
      configuration.properties["max.poll.interval.ms"] = "6000"
      let consumer = try KafkaConsumer(configuration)
      let bound = 100_000
      let records = consumer.records(from: [topic], bufferBytes: bound)
      let iterator = records.makeAsyncIterator()
      var offsets: [Int32: [Int64]] = [:]
      var taken = 0
      while taken < 20_000, let record = try await iterator.next() {
        offsets[record.partition, default: []].append(record.offset)
        taken += 1
        // Longer than `max.poll.interval.ms`: a blocked thread would have lost its partitions.
        if taken == 1000 { try await Task.sleep(for: .seconds(8)) }
        if taken % 2000 == 0 { try await Task.sleep(for: .milliseconds(20)) }
        // One batch may come on top of what was below the bound.
        let batch = configuration.batchCapacity * 300
        #expect(records.flow.bufferedBytes < bound + batch)
      }
      #expect(offsets.values.allSatisfy { $0 == Array(0..<10_000) })
      let last = [TopicPartition(topic, 0), TopicPartition(topic, 1)].map { CommittedOffset($0, offset: 10_000) }
      try await records.commit(last)
      await records.close()
      // The same consumer may run again, and starts behind what was committed.
      try await produce(1, to: topic, on: broker)
      var second: [Int64] = []
      for try await record in consumer.records(from: [topic]) {
        second.append(record.offset)
        break
      }
      #expect(second == [10_000])
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func manualAssignmentSeekPauseAndResume(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, partitions: 2, records: 200)
      let (zero, one) = (TopicPartition(topic, 0), TopicPartition(topic, 1))
      var configuration = KafkaConsumerConfiguration.quick(broker, topic)
      configuration.statisticsInterval = .milliseconds(200)
      let run = try BackgroundRun(
        configuration, .assignment([(zero, .offset(90)), (one, .latest)]),
        { handler in
          handler.onAssigned = { partitions, control in
            var starts: [(TopicPartition, offset: Int64)] = []
            for partition in partitions {
              starts.append((partition, offset: try control.offsetForStart(partition, timeout: .patience)))
            }
            try control.assign(starts)
          }
        })
      let journal = run.journal
      try await eventually("the end of the first") { journal.now.offsets[zero] == Array(90..<100) }
      #expect(journal.now.offsets[one] == nil)
      try await journal.ask { try $0.pause([zero]) }
      try await produce(20, to: topic, on: broker, partitions: 2)
      try await eventually("the other goes on") { journal.now.offsets[one] == Array(100..<110) }
      #expect(journal.now.offsets[zero] == Array(90..<100), "a paused partition brings nothing")
      // Paused, ended and begun again: librdkafka by itself would leave it paused.
      try await journal.ask { control in
        try control.unassign([zero])
        try control.assign([(zero, offset: 100)])
      }
      try await eventually("the first again") { journal.now.offsets[zero] == Array(90..<110) }
      try await journal.ask { try $0.seek(zero, to: 105) }
      try await eventually("a part of it again") { journal.now.offsets[zero] == Array(90..<110) + Array(105..<110) }
      let ends = try await journal.ask { control in
        (try control.watermarks(zero, timeout: .patience), control.cachedWatermarks(zero))
      }
      #expect(ends.0 == (0, 110))
      #expect(ends.1?.high == 110)
      try await eventually("statistics with the lag") {
        journal.now.events.contains { event in
          guard case .statistics(let statistics) = event else { return false }
          return statistics.partitions.contains { $0.partition == zero && $0.lag != nil }
            && statistics.receivedRecords > 0
        }
      }
      try await run.stop()
      #expect(journal.now.errors == [])
    }

    /// Pauses and resumes all the time while records come: none is missing, none comes twice.
    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func pausingAndResumingNeitherDropsNorRepeats(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, partitions: 2)
      var configuration = KafkaConsumerConfiguration.quick(broker, topic)
      configuration.batchCapacity = 50
      let seed = UInt64.random(in: 0...UInt64.max)
      let random = Mutex(SeededGenerator(seed: seed))
      let box = RandomBox(random)
      let run = try BackgroundRun(configuration, .topics([topic])) { handler in
        handler.onTick = { control in
          for partition in control.assignment {
            switch box.next(below: 6) {
            case 0: try control.pause([partition])
            case 1, 2: try control.resume([partition])
            default: break
            }
          }
        }
      }
      for _ in 0..<5 { try await produce(1000, to: topic, on: broker, partitions: 2) }
      try await eventually("all records (seed \(seed))") { run.journal.count >= 5000 }
      #expect(run.journal.now.offsets.values.allSatisfy { $0 == Array(0..<2500) }, "seed \(seed)")
      try await run.stop()
      #expect(run.journal.now.errors == [])
    }
  }
}

private final class RandomBox: Sendable {
  private let generator: Mutex<SeededGenerator>
  init(_ generator: consuming Mutex<SeededGenerator>) { self.generator = generator }
  func next(below bound: Int) -> Int { generator.withLock { Int.random(in: 0..<bound, using: &$0) } }
}
