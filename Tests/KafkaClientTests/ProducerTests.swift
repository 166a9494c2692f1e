import Foundation
import KafkaClient
import Synchronization
import TestServers
import Testing

extension RealKafkaTests {
  @Suite(.serialized) struct ProducerTests {
    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func aFullQueueIsWaitedForAndEveryRecordArrivesOnce(version: String) async throws {
      let broker = try RealKafka.broker(version).bootstrap
      let topic = try await makeTopic(on: broker)
      var configuration = KafkaProducerConfiguration(brokers: [broker])
      configuration.queuedMaxRecords = 10
      let producer = try KafkaProducer(configuration)
      let offsets = try await withThrowingTaskGroup(of: Int64.self) { group in
        for index in 0..<500 {
          group.addTask { try await producer.send(topic: topic, value: [UInt8(index % 256)]).offset }
        }
        return try await group.reduce(into: [Int64]()) { $0.append($1) }
      }
      #expect(offsets.sorted() == Array(0..<500))
      // The way without waiting says that the queue is full.
      let error = #expect(throws: KafkaError.self) {
        for _ in 0..<100_000 { try producer.send(topic: topic, value: [1]) { _ in } }
      }
      #expect(error?.code == .queueFull && error?.isRetriable == true, "\(String(describing: error))")
      await producer.close(within: .seconds(10))
      #expect(producer.pendingCount == 0)
      let late = #expect(throws: KafkaError.self) { try producer.send(topic: topic, value: [1]) { _ in } }
      #expect(late?.code == .state)
    }

    @Test(.timeLimit(.minutes(10)))
    func whatTheBrokerRefusesIsReported() async throws {
      let broker = try RealKafka.broker("4.4.0").bootstrap
      let topic = try await makeTopic(on: broker, settings: ["max.message.bytes": "1000"])
      let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: [broker]))
      let error = await #expect(throws: KafkaError.self) {
        try await producer.send(topic: topic, value: [UInt8](repeating: 7, count: 5000))
      }
      #expect(error?.code == .messageTooLarge && error?.message.contains(topic) == true, "\(String(describing: error))")
      let huge = await #expect(throws: KafkaError.self) {
        try await producer.send(topic: topic, value: [UInt8](repeating: 7, count: 5_000_000))
      }
      #expect(huge?.code == .messageTooLarge, "\(String(describing: huge))")
      // Others go on.
      let delivery = try await producer.send(topic: topic, key: [], value: nil, headers: [.init("a", "b")])
      #expect(delivery.offset == 0)
      await producer.close(within: .seconds(5))
    }

    @Test(.timeLimit(.minutes(10)))
    func aBrokerThatDoesNotAnswerEndsFlushAndCloseInTime() async throws {
      let server = try RealKafka.broker("3.9.2")
      let topic = try await makeTopic(on: server.bootstrap)
      let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: [server.bootstrap]))
      try await producer.send(topic: topic, value: [0])
      server.freeze()
      defer { server.resume() }
      let outcomes = Mutex<[Bool]>([])
      let box = OutcomeBox(outcomes)
      for _ in 0..<10 { try producer.send(topic: topic, value: [1], completion: box.note) }
      let start = ContinuousClock.now
      let error = await #expect(throws: KafkaError.self) { try await producer.flush(within: .milliseconds(500)) }
      #expect(error?.code == .timedOut && error?.message.contains("10 records") == true, "\(String(describing: error))")
      await producer.close(within: .milliseconds(500))
      #expect(ContinuousClock.now - start < .seconds(60), "a message has five minutes")
      #expect(box.outcomes.withLock { $0 } == [Bool](repeating: false, count: 10), "each is told that it failed")
    }
  }
}

private final class OutcomeBox: Sendable {
  let outcomes: Mutex<[Bool]>
  init(_ outcomes: consuming Mutex<[Bool]>) { self.outcomes = outcomes }

  func note(_ result: Result<KafkaProducer.Delivery, KafkaError>) {
    outcomes.withLock { outcomes in if case .success = result { outcomes.append(true) } else { outcomes.append(false) }
    }
  }
}
