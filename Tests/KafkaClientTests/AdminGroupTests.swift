import Foundation
import KafkaClient
import KafkaTestKit
import TestServers
import Testing

extension RealKafkaTests {
  /// A group, looked at and changed from outside.
  @Suite struct AdminGroupTests {
    @Test(arguments: RealKafka.versions) func anEmptyGroupTakesOffsetsWithTheirMetadata(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, partitions: 3, records: 30)
      let admin = try KafkaAdmin(brokers: [broker])
      #expect(try await admin.describeGroup(topic, within: .patience).state == .dead)
      let wanted = (0..<3).map {
        CommittedOffset(TopicPartition(topic, $0), offset: Int64($0), metadata: String(repeating: "m", count: 1000))
      }
      let written = try await admin.alterCommittedOffsets(group: topic, wanted, within: .patience)
      #expect(written.count == 3 && written.allSatisfy { $0.error == nil })
      let kept = try await admin.committedOffsets(group: topic, wanted.map(\.partition), within: .patience)
      #expect(kept.map(\.offset) == [0, 1, 2])
      #expect(kept.allSatisfy { $0.metadata == wanted[0].metadata })
      let group = try await admin.describeGroup(topic, within: .patience)
      #expect(group.state == .empty && group.members.isEmpty)
      let unknown = TopicPartition("no-such-topic", 0)
      let refused = try? await admin.alterCommittedOffsets(
        group: topic, [CommittedOffset(unknown, offset: 1)], within: .patience)
      #expect(refused?.first?.error?.code == .unknownTopicOrPartition)
    }

    @Test(arguments: RealKafka.versions) func aGroupWithMembersNamesThemAndRefuses(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, partitions: 2, records: 10)
      var configuration = KafkaConsumerConfiguration.quick(broker, topic)
      configuration.instanceID = "member-1"
      let run = try BackgroundRun(configuration, .topics([topic]))
      try await eventually("it reads") { run.journal.count == 10 }
      let admin = try KafkaAdmin(brokers: [broker])
      let group = try await admin.describeGroup(topic, within: .patience)
      #expect(group.state == .stable && group.assignor == "cooperative-sticky")
      let member = try #require(group.members.first)
      #expect(member.instanceID == "member-1" && member.clientID == "sinkctl")
      #expect(member.host.contains("127.0.0.1") && !member.id.isEmpty)
      #expect(member.partitions == [TopicPartition(topic, 0), TopicPartition(topic, 1)])
      let change = CommittedOffset(TopicPartition(topic, 0), offset: 3, metadata: "mine")
      do {
        let answer = try await admin.alterCommittedOffsets(group: topic, [change], within: .patience)
        #expect(answer.first?.error?.code == .staleMember, "\(String(describing: answer.first?.error))")
      } catch {
        #expect(error.code == .staleMember, "\(error)")
      }
      #expect(
        try await admin.committedOffsets(group: topic, [change.partition], within: .patience).first?.metadata != "mine")
      try await run.stop()
    }

    @Test(arguments: RealKafka.versions) func positionsInTheLogs(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, partitions: 2, records: 20)
      try await Task.sleep(for: .milliseconds(20))
      let between = Int64(Date().timeIntervalSince1970 * 1000)
      try await Task.sleep(for: .milliseconds(20))
      try await produce(7, to: topic, on: broker)
      let admin = try KafkaAdmin(brokers: [broker])
      let both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
      func offsets(_ position: LogPosition) async throws -> [Int64?] {
        let found = try await admin.offsets(both, at: position, within: .patience)
        #expect(found.allSatisfy { $0.error == nil })
        return found.sorted { $0.partition < $1.partition }.map(\.offset)
      }
      #expect(try await offsets(.earliest) == [0, 0])
      #expect(try await offsets(.latest) == [17, 10])
      #expect(try await offsets(.time(between)) == [10, nil])
      #expect(try await offsets(.time(0)) == [0, 0])
    }

    /// An open transaction hides what lies behind it from a reader of committed records alone.
    @Test(arguments: RealKafka.versions) func whereALogEndsDependsOnTheIsolation(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker, records: 5)
      let producer = try TransactionalProducer(brokers: [broker], id: topic)
      try producer.begin()
      try producer.send(topic: topic, partition: 0, value: [1])
      producer.flush()
      var ends: [Int64?] = []
      for isolation in [IsolationLevel.readCommitted, .readUncommitted] {
        let admin = try KafkaAdmin(brokers: [broker], isolation: isolation)
        ends.append(try await admin.offsets([TopicPartition(topic, 0)], at: .latest, within: .patience).first?.offset)
      }
      #expect(ends == [5, 6])
      try producer.abort()
    }
  }
}
