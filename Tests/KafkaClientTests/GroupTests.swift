import Foundation
import KafkaClient
import SinkThreads
import Synchronization
import TestServers
import Testing

extension RealKafkaTests {
  /// Members of a group on real brokers.
  @Suite(.serialized) struct GroupTests {
    private func topic(
      _ version: String, partitions: Int = 1, records: Int = 0
    ) async throws -> (broker: String, topic: String) {
      let broker = try RealKafka.broker(version).bootstrap
      return (broker, try await makeTopic(on: broker, partitions: partitions, records: records))
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func metadataIsKeptToTheLastByteAndTooMuchIsRefused(version: String) async throws {
      let (broker, topic) = try await topic(version)
      let run = try BackgroundRun(.quick(broker, topic), .topics([topic]))
      let partition = TopicPartition(topic, 0)
      try await eventually("an assignment") { run.journal.now.given.count == 1 }
      for (index, size) in [1, 600, 4096].enumerated() {
        let metadata = String((0..<size).map { Character(UnicodeScalar(UInt8(0x20 + $0 % 95))) })
        run.journal.wish { control in
          _ = control.commit(
            [CommittedOffset(partition, offset: Int64(size), metadata: metadata)], deadline: control.now + .patience)
        }
        try await eventually("an answer") { run.journal.now.results.count == index + 1 }
        guard case .known = run.journal.now.results[index] else {
          Issue.record("\(run.journal.now.results[index])")
          continue
        }
        let back = try await run.journal.ask { try $0.committedOffsets([partition], timeout: .patience) }
        #expect(back.first?.offset == Int64(size) && back.first?.metadata == metadata)
      }
      run.journal.wish { control in
        _ = control.commit(
          [CommittedOffset(partition, offset: 9, metadata: String(repeating: "x", count: 4097))],
          deadline: control.now + .patience)
      }
      try await eventually("a refusal") { run.journal.now.results.count == 4 }
      guard case .refused(let error, _) = run.journal.now.results[3] else {
        Issue.record("\(run.journal.now.results[3])")
        return
      }
      #expect(error.code == .offsetMetadataTooLarge)
      #expect(error.message.contains("4097") && error.message.contains(topic), "\(error)")
      let admin = try KafkaAdmin(brokers: [broker])
      let kept = try await admin.committedOffsets(group: topic, [partition], within: .patience)
      #expect(kept.first?.offset == 4096 && kept.first?.metadata.utf8.count == 4096)
      try await run.stop()
      #expect(run.journal.now.errors == [])
    }

    /// Each member commits what it has read when partitions are asked back, and starts where the group stands; so a
    /// record that two members read, or none, shows that somebody read outside of unassign and assign.
    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func membersComeAndGoAndNoRecordIsReadTwice(version: String) async throws {
      let (broker, topic) = try await topic(version, partitions: 6)
      let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: [broker]))
      let sent = Mutex(0)
      let feeding = Task {
        var index = 0
        while !Task.isCancelled {
          try await producer.send(topic: topic, partition: Int32(index % 6), value: [1])
          index += 1
          sent.withLock { [index] in $0 = index }
        }
      }
      let overlaps = Ownership()
      func join() throws -> BackgroundRun {
        let name = UUID().uuidString
        return try BackgroundRun(.quick(broker, topic), .topics([topic])) { handler in
          let journal = handler.journal
          handler.onAssigned = { partitions, control in
            let committed = try control.committedOffsets(partitions, timeout: .patience)
            overlaps.take(partitions, name)
            try control.assign(committed.map { ($0.partition, offset: $0.offset ?? 0) })
          }
          let leaving = Mutex<[TopicPartition]>([])
          let box = LeavingBox(leaving)
          handler.onRevoked = { partitions, deadline, control in
            try control.pause(partitions)
            let offsets = journal.state.withLock { state in
              partitions.compactMap { partition in
                state.offsets[partition]?.last.map { CommittedOffset(partition, offset: $0 + 1) }
              }
            }
            box.partitions.withLock { $0 = partitions }
            if offsets.isEmpty {
              try box.giveBack(control, overlaps, name)
            } else {
              _ = control.commit(offsets, deadline: deadline)
            }
          }
          handler.onCommitted = { _, _, control in try box.giveBack(control, overlaps, name) }
        }
      }
      let first = try join()
      try await eventually("the first member has all") { first.journal.count > 50 }
      let second = try join()
      try await eventually("the second member reads") { second.journal.count > 50 }
      let third = try join()
      try await eventually("the third member reads") { third.journal.count > 50 }
      // An orderly end: everything is revoked, committed and handed on.
      try await leave(first, overlaps)
      let after = (second.journal.count, third.journal.count)
      try await eventually("the others go on") {
        second.journal.count > after.0 + 50 && third.journal.count > after.1 + 50
      }
      try await leave(second, overlaps)
      feeding.cancel()
      _ = await feeding.result
      try await producer.flush(within: .patience)
      await producer.close(within: .seconds(5))
      let total = sent.withLock { $0 }
      let members = [first, second, third]
      try await eventually("all \(total) records") { members.reduce(0) { $0 + $1.journal.count } >= total }
      try await third.stop()
      for partition in (0..<6).map({ TopicPartition(topic, Int32($0)) }) { expectEachOnce(partition, members) }
      #expect(overlaps.problems == [])
      for member in members {
        #expect(member.journal.now.errors == [])
        #expect(member.journal.now.lost.flatMap { $0 }.isEmpty)
      }
    }

    private func expectEachOnce(_ partition: TopicPartition, _ members: [BackgroundRun]) {
      let read = members.flatMap { $0.journal.now.offsets[partition] ?? [] }
      #expect(read.sorted() == Array(0..<Int64(read.count)), "each offset of \(partition) once")
      for member in members {
        let own = member.journal.now.offsets[partition] ?? []
        #expect(own == own.sorted(), "in order")
      }
    }

    /// As `stopping` would: commit what was read, then end.
    private func leave(_ run: BackgroundRun, _ ownership: Ownership) async throws {
      let answered = run.journal.now.results.count
      try await run.journal.ask { control in
        try control.pause(control.assignment)
        let read = run.journal.now.offsets
        let offsets = control.assignment.compactMap { partition in
          read[partition]?.last.map { CommittedOffset(partition, offset: $0 + 1) }
        }
        _ = control.commit(offsets, deadline: control.now + .patience)
        ownership.release(control.assignment)
      }
      try await eventually("the last commit") { run.journal.now.results.count > answered }
      try await run.stop()
    }

    @Test(.timeLimit(.minutes(10)), arguments: ["4.4.0"])
    func anAssignmentIsAcceptedLaterAndPollingGoesOnMeanwhile(version: String) async throws {
      let (broker, topic) = try await topic(version, partitions: 2, records: 20)
      let given = Mutex<[TopicPartition]>([])
      let box = LeavingBox(given)
      let run = try BackgroundRun(.quick(broker, topic), .topics([topic])) { handler in
        handler.onAssigned = { partitions, _ in box.partitions.withLock { $0 += partitions } }
      }
      try await eventually("an offer") { box.partitions.withLock { $0.count } == 2 }
      let ticks = run.journal.now.ticks
      // Longer than the session: only heartbeats, so only polling, keep the membership.
      try await Task.sleep(for: .seconds(7))
      #expect(run.journal.now.ticks > ticks + 20)
      #expect(run.journal.count == 0)
      // By now the thread has answered the offer by itself.
      try await run.journal.ask { control in try control.assign(box.partitions.withLock { $0 }.map { ($0, offset: 3) })
      }
      try await eventually("the records from 3 on") { run.journal.count == 14 }
      #expect(run.journal.now.offsets.values.allSatisfy { $0 == Array(3..<10) })
      #expect(run.journal.now.lost.isEmpty && run.journal.now.revoked.isEmpty && run.journal.now.given.count == 1)
      try await run.stop()
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func whatIsNotGivenBackByTheDeadlineIsTaken(version: String) async throws {
      let (broker, topic) = try await topic(version, partitions: 2, records: 20)
      let stubborn = try BackgroundRun(.quick(broker, topic), .topics([topic])) { handler in
        handler.onRevoked = { _, _, _ in }
      }
      try await eventually("all records") { stubborn.journal.count == 20 }
      let other = try BackgroundRun(.quick(broker, topic), .topics([topic]))
      try await eventually("the other member reads") { other.journal.count == 10 }
      #expect(stubborn.journal.now.revoked.flatMap { $0 }.count == 1)
      #expect(stubborn.journal.now.lost == stubborn.journal.now.revoked)
      try await other.stop()
      // What was taken comes back once the other has left, and is read again.
      try await eventually("both partitions again") { stubborn.journal.now.given.flatMap { $0 }.count == 3 }
      try await eventually("the records again") { stubborn.journal.count == 30 }
      try await stubborn.stop()
      #expect(stubborn.journal.now.errors == [])
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func aSecondProcessUnderOurInstanceIDEndsTheFirst(version: String) async throws {
      let (broker, topic) = try await topic(version, records: 5)
      let first = try BackgroundRun(.quick(broker, topic, instance: "worker-7"), .topics([topic]))
      try await eventually("the first reads") { first.journal.count == 5 }
      let second = try BackgroundRun(.quick(broker, topic, instance: "worker-7"), .topics([topic]))
      let error = await #expect(throws: KafkaError.self) { try await first.end() }
      #expect(error?.code == .fenced && error?.isFatal == true)
      #expect(error?.message.contains("worker-7") == true, "\(String(describing: error))")
      try await eventually("the second reads") { second.journal.count == 5 }
      try await second.stop()
    }
  }
}

/// Which member holds which partition; two at once is what must not be.
final class Ownership: Sendable {
  private let state = Mutex<(owners: [TopicPartition: String], problems: [String])>(([:], []))

  func take(_ partitions: [TopicPartition], _ name: String) {
    state.withLock { state in
      for partition in partitions {
        if let owner = state.owners[partition] { state.problems.append("\(partition) is \(owner)'s and \(name)'s") }
        state.owners[partition] = name
      }
    }
  }

  func release(_ partitions: [TopicPartition]) {
    state.withLock { state in for partition in partitions { state.owners[partition] = nil } }
  }

  var problems: [String] { state.withLock { $0.problems } }
}

final class LeavingBox: Sendable {
  let partitions: Mutex<[TopicPartition]>

  init(_ partitions: consuming Mutex<[TopicPartition]>) { self.partitions = partitions }

  func giveBack(_ control: borrowing ConsumerControl, _ ownership: Ownership, _ name: String) throws {
    let leaving = partitions.withLock { partitions in
      defer { partitions = [] }
      return partitions
    }
    guard !leaving.isEmpty else { return }
    // Before the call: after it, another member may have them.
    ownership.release(leaving)
    try control.unassign(leaving)
  }
}
