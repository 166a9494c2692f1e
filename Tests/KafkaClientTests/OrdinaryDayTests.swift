import Foundation
import KafkaClient
import KafkaTestKit
import SinkThreads
import Synchronization
import TestServers
import Testing

extension RealKafkaTests {
  /// What topics and logs do in the course of a year.
  @Suite(.serialized) struct OrdinaryDayTests {
    @Test(.timeLimit(.minutes(10)))
    func aTopicThatAppearsLaterIsReadWhereThePatternMatches() async throws {
      let broker = try RealKafka.broker("4.4.0").bootstrap
      let prefix = "p-\(UUID().uuidString)"
      let run = try BackgroundRun(.quick(broker, prefix), .topics(["^\(prefix)\\..*"]))
      let admin = try KafkaAdmin(brokers: [broker])
      try await admin.createTopic("\(prefix).one", partitions: 1, within: .patience)
      try await admin.createTopic("other.\(prefix)", partitions: 1, within: .patience)
      try await produce(5, to: "\(prefix).one", on: broker)
      try await eventually("the first topic") { run.journal.count == 5 }
      try await admin.createTopic("\(prefix).two", partitions: 1, within: .patience)
      try await produce(5, to: "\(prefix).two", on: broker)
      try await produce(5, to: "other.\(prefix)", on: broker)
      try await eventually("the second topic") { run.journal.count == 10 }
      #expect(Set(run.journal.now.offsets.keys.map(\.topic)) == ["\(prefix).one", "\(prefix).two"])
      try await run.stop()
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func partitionsThatAreAddedAreGiven(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, records: 5)
      let run = try BackgroundRun(.quick(broker, topic), .topics([topic]))
      try await eventually("the first partition") { run.journal.count == 5 }
      let admin = try KafkaAdmin(brokers: [broker])
      try await admin.addPartitions(topic, total: 3, within: .patience)
      // The producer must have heard of them too.
      try await eventually("three partitions") {
        try await admin.metadata(topic: topic, within: .patience).topics.first?.partitions.count == 3
      }
      try await produce(9, to: topic, on: broker, partitions: 3)
      try await eventually("all three") { run.journal.count == 14 }
      #expect(run.journal.now.lost.isEmpty)
      #expect(run.journal.now.offsets[TopicPartition(topic, 0)] == Array(0..<8), "the first one is read on, not again")
      try await run.stop()
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func aTopicMadeAgainIsOutOfRangeAndASeekRevivesIt(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, records: 50)
      let partition = TopicPartition(topic, 0)
      let run = try BackgroundRun(.quick(broker, topic), .topics([topic])) { handler in
        handler.onAssigned = { partitions, control in
          // As a group whose offset outlived its topic.
          try control.assign(partitions.map { ($0, offset: 50) })
        }
        handler.onEvent = { event, control in
          guard case .offsetOutOfRange(let partition, _) = event else { return }
          try control.seek(partition, to: 0)
        }
      }
      try await eventually("an assignment") { !run.journal.now.given.isEmpty }
      let admin = try KafkaAdmin(brokers: [broker])
      try await admin.deleteTopic(topic, within: .patience)
      try await eventually("the topic made again") {
        do throws(KafkaError) {
          try await admin.createTopic(topic, partitions: 1, within: .patience)
          return true
        } catch {
          guard error.code == .topicExists else { throw error }
          return false
        }
      }
      try await produce(20, to: topic, on: broker)
      try await eventually("the new log") { run.journal.now.offsets[partition]?.count == 20 }
      #expect(run.journal.now.offsets[partition] == Array(0..<20))
      try await run.stop()
      #expect(run.journal.now.errors == [])
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func whatRetentionTookIsOutOfRange(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(
        on: broker, records: 30, settings: ["retention.ms": "300", "segment.ms": "100"])
      let partition = TopicPartition(topic, 0)
      let admin = try KafkaAdmin(brokers: [broker])
      try await eventually("retention") { try await admin.watermarks(partition, within: .patience).low > 0 }
      try await eventually("nothing left") {
        let ends = try await admin.watermarks(partition, within: .patience)
        return ends.low == ends.high
      }
      let run = try BackgroundRun(.quick(broker, topic), .assignment([(partition, .offset(0))]))
      try await eventually("an event that says so") { run.journal.now.outOfRange.contains(partition) }
      // The small ways to read have no seek: they end with the reason.
      let consumer = try KafkaConsumer(.quick(broker, "small-\(topic)"))
      let records = consumer.records(from: [topic])
      try await commit(0, to: partition, group: "small-\(topic)", broker)
      let error = await #expect(throws: KafkaError.self) { for try await _ in records {} }
      #expect(
        error?.code == .offsetOutOfRange && error?.message.contains(topic) == true, "\(String(describing: error))")
      let low = try await run.journal.ask { try $0.watermarks(partition, timeout: .patience).low }
      try await run.journal.ask { try $0.seek(partition, to: low) }
      try await produce(1, to: topic, on: broker)
      try await eventually("the first record that there is") { run.journal.now.offsets[partition] == [low] }
      try await run.stop()
    }

    private func commit(_ offset: Int64, to partition: TopicPartition, group: String, _ broker: String) async throws {
      let run = try BackgroundRun(.quick(broker, group), .topics([partition.topic])) { handler in
        handler.onAssigned = { _, control in
          _ = control.commit([CommittedOffset(partition, offset: offset)], deadline: control.now + .patience)
        }
      }
      try await eventually("a commit") { run.journal.now.results.count == 1 }
      try await run.stop()
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func transactionsLeaveGapsAndTheEndLiesBehindTheirMarkers(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker)
      let partition = TopicPartition(topic, 0)
      let producer = try TransactionalProducer(brokers: [broker], id: topic)
      func write(_ count: Int) throws {
        try producer.begin()
        for index in 0..<count { try producer.send(topic: topic, partition: 0, value: [UInt8(index)]) }
      }
      try write(3)
      try producer.commit()  // 0, 1, 2, marker 3
      try write(5)
      try producer.abort()  // 4 to 8, marker 9
      try write(2)
      try producer.commit()  // 10, 11, marker 12
      let run = try BackgroundRun(.quick(broker, topic), .topics([topic]))
      try await eventually("the end behind the last marker") { run.journal.now.ends[partition] == 13 }
      #expect(run.journal.now.offsets[partition] == [0, 1, 2, 10, 11])
      try await run.stop()

      var configuration = KafkaConsumerConfiguration.quick(broker, "all-\(topic)")
      configuration.isolation = .readUncommitted
      let all = try BackgroundRun(configuration, .topics([topic]))
      try await eventually("the same end") { all.journal.now.ends[partition] == 13 }
      #expect(all.journal.now.offsets[partition] == [0, 1, 2, 4, 5, 6, 7, 8, 10, 11])
      try await all.stop()
    }

    @Test(.timeLimit(.minutes(10)))
    func compactionLeavesGaps() async throws {
      let broker = try RealKafka.broker("3.9.2").bootstrap
      let topic = try await makeTopic(
        on: broker,
        settings: [
          "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001",
          "max.compaction.lag.ms": "100",
        ])
      let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: [broker]))
      let partition = TopicPartition(topic, 0)
      var last: Int64 = 0
      try await eventually("compaction") {
        for key in [1, 1, 2, 2] as [UInt8] {
          last = try await producer.send(topic: topic, partition: 0, key: [key], value: [0]).offset
        }
        try await Task.sleep(for: .milliseconds(300))
        let run = try BackgroundRun(.quick(broker, topic), .assignment([(partition, .earliest)]))
        let end = last + 1
        try await eventually("the end") { run.journal.now.ends[partition] == end }
        try await run.stop()
        let offsets = run.journal.now.offsets[partition] ?? []
        #expect(offsets == offsets.sorted() && offsets.last == last)
        return offsets.count < Int(last)
      }
      await producer.close(within: .seconds(5))
    }
  }
}

extension Journal.State {
  var outOfRange: [TopicPartition] {
    events.compactMap { event in if case .offsetOutOfRange(let partition, _) = event { partition } else { nil } }
  }

  /// The last end that each partition reported.
  var ends: [TopicPartition: Int64] {
    var ends: [TopicPartition: Int64] = [:]
    for case .partitionEnd(let partition, let offset) in events { ends[partition] = offset }
    return ends
  }
}
