import KafkaClient
import SinkThreads
import Synchronization
import TestServers
import Testing

extension RealKafkaTests {
  /// The broker dies in the midst of reading and comes back: nothing is missing, nothing comes twice.
  @Suite struct BrokerRestartTests {
    @Test(.timeLimit(.minutes(10)), arguments: ["4.4.0"])
    func readingGoesOnAfterTheBrokerWasKilled(version: String) async throws {
      let broker = try await KafkaBroker.start(version: version)
      let admin = try KafkaAdmin(brokers: [broker.bootstrap])
      try await admin.createTopic("events", partitions: 1, within: .patience)
      let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: [broker.bootstrap]))
      for index in 0..<100 { try producer.send(topic: "events", value: [UInt8(index)]) { _ in } }
      try await producer.flush(within: .patience)

      var configuration = KafkaConsumerConfiguration(brokers: [broker.bootstrap], group: "readers", instanceID: "one")
      configuration.sessionTimeout = .seconds(20)
      configuration.revokeDeadline = .seconds(5)
      configuration.shutdownDeadline = .patience
      let consumer = try KafkaConsumer(configuration)
      let offsets = Mutex<[Int64]>([])
      let run = Task {
        try await consumer.forEachBatch(from: ["events"], commitInterval: .milliseconds(100)) { batch in
          for index in 0..<batch.count { offsets.withLock { $0.append(batch[index].offset) } }
        }
      }
      try await eventually("the first 100 records") { offsets.withLock { $0.count } >= 100 }
      try await broker.kill()
      try await broker.start()
      for index in 100..<200 { try producer.send(topic: "events", value: [UInt8(index)]) { _ in } }
      try await producer.flush(within: .patience)
      try await eventually("the records after the restart") { offsets.withLock { $0.count } >= 200 }
      run.cancel()
      try await run.value
      #expect(offsets.withLock { $0 } == Array(0..<200))
      let committed = try await admin.committedOffsets(
        group: "readers", [TopicPartition("events", 0)], within: .patience)
      #expect(committed.first?.offset == 200)
      await producer.close(within: .seconds(5))
      extendLifetime(broker)
    }
  }
}
