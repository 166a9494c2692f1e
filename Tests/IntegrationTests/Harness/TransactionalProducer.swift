import Foundation
import TestServers

/// Produces in transactions, which `KafkaProducer` does not: by PyPI's confluent-kafka.
enum TransactionalProducer {
  static let isThere: Bool = (try? run("import confluent_kafka", [])) == 0

  /// - Parameter ends: for each transaction of ten records, `commit` or `abort`.
  static func produce(_ ends: [String], to topic: String, _ broker: String) async throws {
    let code = try run(
      """
      import sys
      from confluent_kafka import Producer
      broker, topic, *ends = sys.argv[1:]
      producer = Producer({"bootstrap.servers": broker, "transactional.id": "transactions"})
      producer.init_transactions()
      for end in ends:
          producer.begin_transaction()
          for number in range(10):
              value = '{"id": %d, "kind": "fine", "level": 1, "checksum": 0, "text": ""}' % number
              producer.produce(topic, value=value, partition=0)
          producer.flush()
          producer.commit_transaction() if end == "commit" else producer.abort_transaction()
      """, [broker, topic] + ends)
    guard code == 0 else { throw HarnessProblem("the transactional producer ended with \(code)") }
  }

  private static func run(_ script: String, _ arguments: [String]) throws -> Int32 {
    guard let python = TestMachine.python else { return -1 }
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/timeout")
    process.arguments = ["60", python, "-c", script] + arguments
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }
}
