import Foundation
import KafkaClient
import SinkThreads
import Synchronization
import TestServers
import Testing

extension RealKafkaTests {
  /// Commits and fetches over a network that fails.
  @Suite(.serialized) struct FaultTests {
    private static let offsetCommit = 8

    @Test(
      .enabled(if: TestMachine.kafkaFaultProxy != nil, "needs the fault proxy (SINK_KAFKA_FAULT_PROXY)"),
      .timeLimit(.minutes(10)))
    func aCommitIsKnownOnlyWhereOneCopyWasAnsweredInTime() async throws {
      let server = try RealKafka.broker("3.9.2")
      let proxy = try await KafkaFaultProxy(port: SecuredKafka.proxyPorts[0], target: server.proxyTargets[0])
      let topic = try await makeTopic(on: server.bootstrap)
      let partition = TopicPartition(topic, 0)
      let run = try BackgroundRun(.quick("127.0.0.1:\(proxy.port)", topic, instance: "one"), .topics([topic]))
      var offset: Int64 = 10

      func commit(
        _ action: KafkaFaultProxy.Action?, requests: Int = 1, deadline: Duration
      ) async throws -> CommitResult {
        let given = run.journal.now.given.count
        try await eventually("an assignment") { run.journal.now.given.count >= max(1, given) }
        if let action { try proxy.rule(Self.offsetCommit, action, count: requests) }
        let answered = run.journal.now.results.count
        offset += 1
        let value = offset
        run.journal.wish { control in
          _ = control.commit(
            [CommittedOffset(partition, offset: value, metadata: "m")], deadline: control.now + deadline)
        }
        try await eventually("an answer") { run.journal.now.results.count > answered }
        try proxy.clearRules()
        let result = run.journal.now.results[answered]
        if case .unknown = result {
          let before = run.journal.now.given.count
          run.journal.wish { $0.renew() }
          try await eventually("a new handle with the partition") { run.journal.now.given.count > before }
        }
        return result
      }

      func isKnown(_ result: CommitResult) -> Bool { if case .known = result { true } else { false } }
      func isUnknown(_ result: CommitResult) -> Bool { if case .unknown = result { true } else { false } }

      var result = try await commit(nil, deadline: .patience)
      #expect(isKnown(result), "\(result)")
      result = try await commit(.refuse(12), deadline: .patience)
      guard case .refused(let error, _) = result else {
        Issue.record("refused by the broker: \(result)")
        return
      }
      #expect(error.code == .offsetMetadataTooLarge)
      result = try await commit(.refuse(7), deadline: .milliseconds(700))
      #expect(isUnknown(result), "REQUEST_TIMED_OUT is said after writing: \(result)")
      // The handle before may send its commit again while it is being destroyed.
      result = try await commit(.holdAnswer(3), requests: 2, deadline: .milliseconds(500))
      #expect(isUnknown(result), "the answer came too late: \(result)")
      result = try await commit(.close, deadline: .patience)
      #expect(isUnknown(result), "sent twice as far as we can know: \(result)")
      result = try await commit(.lateCopy(1.5), deadline: .milliseconds(500))
      #expect(isUnknown(result), "a copy is still under way: \(result)")
      // That copy arrives from a member that the renewed handle has replaced.
      result = try await commit(nil, deadline: .patience)
      #expect(isKnown(result), "\(result)")
      try await Task.sleep(for: .seconds(2))
      let back = try await run.journal.ask { try $0.committedOffsets([partition], timeout: .patience) }
      #expect(back.first?.offset == offset, "nothing that came late has set the offset back")
      #expect(!proxy.lines.contains { $0.contains("LeaveGroup") })
      try await run.stop()
      #expect(run.journal.now.errors == [])
    }

    @Test(
      .enabled(if: TestMachine.toxiproxy != nil, "needs toxiproxy-server (SINK_TOXIPROXY)"), .timeLimit(.minutes(10)))
    func aSlowAndCutNetworkCostsTimeAndNothingElse() async throws {
      let server = try RealKafka.broker("4.4.0")
      let proxy = try await SlowProxy(port: SecuredKafka.proxyPorts[1], target: server.proxyTargets[1])
      let topic = try await makeTopic(on: server.bootstrap, partitions: 2, records: 200)
      let run = try BackgroundRun(
        .quick("127.0.0.1:\(SecuredKafka.proxyPorts[1])", topic, instance: "one"), .topics([topic]))
      try await eventually("the first records") { run.journal.count == 200 }
      try proxy.add("latency", #"{"latency":150,"jitter":50}"#)
      try await produce(200, to: topic, on: server.bootstrap, partitions: 2)
      try await eventually("records through a slow wire") { run.journal.count == 400 }
      try proxy.setEnabled(false)
      try await Task.sleep(for: .seconds(3))
      try proxy.setEnabled(true)
      try await produce(200, to: topic, on: server.bootstrap, partitions: 2)
      try await eventually("records after a cut") { run.journal.count == 600 }
      try proxy.remove("latency")
      try proxy.add("slicer", #"{"average_size":40,"size_variation":20,"delay":200}"#)
      try await produce(200, to: topic, on: server.bootstrap, partitions: 2)
      try await eventually("records in crumbs") { run.journal.count == 800 }
      #expect(run.journal.now.offsets.values.allSatisfy { $0 == Array(0..<400) })
      // A cut of half a session costs no membership.
      #expect(run.journal.now.lost.isEmpty && run.journal.now.given.count == 1)
      try await run.stop()
    }
  }
}
