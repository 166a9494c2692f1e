import KafkaClient
import KafkaTestKit
import SinkThreads
import Synchronization
import TestServers
import Testing

/// Errors that brokers answer with, pushed into the mock cluster: reading goes on, and commits say what is certain.
@Suite(.timeLimit(.minutes(10))) struct MockFaultTests {
  private func configuration(_ cluster: MockCluster, _ group: String) -> KafkaConsumerConfiguration {
    var configuration = KafkaConsumerConfiguration(brokers: cluster.bootstrap, group: group)
    // The mock cluster makes everybody wait for a session less a second at each rebalance.
    configuration.sessionTimeout = .seconds(3)
    configuration.revokeDeadline = .seconds(1)
    configuration.shutdownDeadline = .patience
    return configuration
  }

  private func cluster(brokers: Int = 1, records: Int) async throws -> MockCluster {
    let cluster = try MockCluster(brokers: brokers)
    try cluster.createTopic("events", partitions: 1, replication: brokers)
    try await produce(records, to: "events", on: cluster.bootstrap.joined(separator: ","))
    return cluster
  }

  @Test func errorsOnTheWayIntoTheGroupAreWaitedOut() async throws {
    let cluster = try await cluster(records: 10)
    cluster.refuse(.findCoordinator, with: [.coordinatorNotAvailable, .disconnect])
    cluster.refuse(.joinGroup, with: [.notCoordinator, .coordinatorLoadInProgress])
    cluster.refuse(.syncGroup, with: [.rebalanceInProgress])
    let run = try BackgroundRun(configuration(cluster, "join"), .topics(["events"]))
    try await eventually("the records") { run.journal.count == 10 }
    try await run.stop()
    #expect(run.journal.now.errors == [])
  }

  @Test(arguments: [MockCluster.BrokerError.rebalanceInProgress, .illegalGeneration, .unknownMemberID, .notCoordinator])
  func aHeartbeatThatIsRefusedCostsTheAssignmentAndNotTheRun(error: MockCluster.BrokerError) async throws {
    let cluster = try await cluster(records: 10)
    let run = try BackgroundRun(configuration(cluster, "beat"), .topics(["events"]))
    try await eventually("the records") { run.journal.count == 10 }
    cluster.refuse(.heartbeat, with: [error])
    // However the group sees it: the records that follow come, and come after the others.
    try await Task.sleep(for: .seconds(1))
    try await produce(10, to: "events", on: cluster.bootstrap[0])
    let partition = TopicPartition("events", 0)
    try await eventually("the records after it") { run.journal.now.offsets[partition]?.last == 19 }
    #expect(Set(run.journal.now.offsets[partition] ?? []) == Set(0..<20))
    try await run.stop()
    #expect(run.journal.now.errors == [])
  }

  @Test func errorsOfFetchesAreWaitedOut() async throws {
    let cluster = try await cluster(records: 50)
    cluster.refuse(.fetch, with: [.notLeaderForPartition, .disconnect, .requestTimedOut])
    let run = try BackgroundRun(configuration(cluster, "fetch"), .topics(["events"]))
    try await eventually("the records") { run.journal.count == 50 }
    #expect(run.journal.now.offsets.values.map { $0 } == [Array(0..<50)])
    try await run.stop()
  }

  @Test func leadersMoveAndEveryRecordComesOnceInOrder() async throws {
    let cluster = try await cluster(brokers: 3, records: 10)
    let partition = TopicPartition("events", 0)
    let run = try BackgroundRun(configuration(cluster, "leaders"), .topics(["events"]))
    try await eventually("the first records") { run.journal.count == 10 }
    for broker in [2, 3, 1, 2] as [Int32] {
      try cluster.setLeader(of: partition, to: broker)
      try await produce(10, to: "events", on: cluster.bootstrap[0])
    }
    try await eventually("the records") { run.journal.count == 50 }
    try cluster.setDown(broker: 2)
    try cluster.setLeader(of: partition, to: 3)
    try await produce(10, to: "events", on: cluster.bootstrap[0])
    try await eventually("records while a broker is down") { run.journal.count == 60 }
    #expect(run.journal.now.offsets[partition] == Array(0..<60))
    try cluster.setUp(broker: 2)
    try await run.stop()
  }

  @Test(arguments: [
    (MockCluster.BrokerError.illegalGeneration, "refused"), (.unknownMemberID, "refused"),
    (.rebalanceInProgress, "refused"), (.offsetMetadataTooLarge, "refused"), (.groupAuthorizationFailed, "refused"),
    // librdkafka repeats these by itself, and says that all is well.
    (.notCoordinator, "unknown"), (.coordinatorLoadInProgress, "unknown"), (.coordinatorNotAvailable, "unknown"),
    (.requestTimedOut, "unknown"), (.disconnect, "unknown"),
  ])
  func aCommitsErrorIsRefusedOrUnknownAndNeverKnown(error: MockCluster.BrokerError, expected: String) async throws {
    let cluster = try await cluster(records: 1)
    let run = try BackgroundRun(configuration(cluster, "commits"), .topics(["events"]))
    try await eventually("the record") { run.journal.count == 1 }
    cluster.refuse(.offsetCommit, with: [error])
    run.journal.wish { control in
      _ = control.commit([CommittedOffset(TopicPartition("events", 0), offset: 1)], deadline: control.now + .patience)
    }
    try await eventually("an answer") { !run.journal.now.results.isEmpty }
    let said =
      switch run.journal.now.results[0] {
      case .known: "known"
      case .refused: "refused"
      case .unknown: "unknown"
      }
    #expect(said == expected, "\(run.journal.now.results[0])")
    try await run.stop()
  }

  /// The broker looks at the generation only: that a partition is ours is for us to check.
  @Test func aCommitForAPartitionThatIsNotOursDoesNotGoOut() async throws {
    let cluster = try await cluster(records: 1)
    let run = try BackgroundRun(configuration(cluster, "foreign"), .topics(["events"]))
    try await eventually("the record") { run.journal.count == 1 }
    run.journal.wish { control in
      _ = control.commit([CommittedOffset(TopicPartition("events", 7), offset: 1)], deadline: control.now + .patience)
    }
    try await eventually("an answer") { !run.journal.now.results.isEmpty }
    guard case .refused(let error, _) = run.journal.now.results[0] else {
      Issue.record("\(run.journal.now.results[0])")
      return
    }
    #expect(error.code == .assignmentLost && error.message.contains("events/7"))
    try await run.stop()
  }

  /// What `forEachBatch` has read until its first record, with the errors that its last commit met.
  private func readOnce(_ cluster: MockCluster, _ errors: [MockCluster.BrokerError]) async throws -> [Int64] {
    let offsets = Mutex<[Int64]>([])
    let consumer = try KafkaConsumer(configuration(cluster, "last-commit"))
    let run = Task {
      // The only commit is the last one.
      try await consumer.forEachBatch(from: ["events"], commitInterval: .seconds(600)) { batch in
        for index in 0..<batch.count { offsets.withLock { $0.append(batch[index].offset) } }
      }
    }
    try await eventually("a record") { offsets.withLock { !$0.isEmpty } }
    cluster.refuse(.offsetCommit, with: errors)
    run.cancel()
    try await run.value
    return offsets.withLock { $0 }
  }

  @Test(arguments: [
    MockCluster.BrokerError.notCoordinator, .coordinatorLoadInProgress, .coordinatorNotAvailable, .disconnect,
    .rebalanceInProgress, .requestTimedOut,
  ])
  func theLastCommitOfForEachBatchIsTriedAgain(error: MockCluster.BrokerError) async throws {
    let cluster = try await cluster(records: 1)
    #expect(try await readOnce(cluster, Array(repeating: error, count: 6)) == [0])
    try await produce(1, to: "events", on: cluster.bootstrap[0])
    #expect(try await readOnce(cluster, []) == [1])
  }

  @Test func aLastCommitThatFailsIsTheCallersToKnow() async throws {
    let cluster = try await cluster(records: 1)
    let error = await #expect(throws: KafkaError.self) { try await readOnce(cluster, [.groupAuthorizationFailed]) }
    #expect(error?.code == .authorization)
  }
}
