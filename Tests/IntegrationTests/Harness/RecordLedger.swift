import Foundation
import KafkaClient
import Synchronization
import TestServers

/// What a test has produced: for every offset that a broker acknowledged, what must become of it.
final class RecordLedger: Sendable {
  /// What is to become of a record.
  enum Fate: Sendable, Equatable {
    case row
    /// The decoder refuses it.
    case bad
    /// Only the server refuses it: the tables of these tests have a constraint.
    case refused
    case tombstone
  }

  struct Entry: Sendable, Equatable {
    let id: Int
    let fate: Fate
    /// Of the bytes that were produced.
    let checksum: UInt64
  }

  struct Place: Hashable, Sendable, Comparable, CustomStringConvertible {
    let topic: String
    let partition: Int32
    let offset: Int64

    static func < (left: Self, right: Self) -> Bool {
      (left.topic, left.partition, left.offset) < (right.topic, right.partition, right.offset)
    }

    var description: String { "\(topic)[\(partition)]@\(offset)" }
  }

  private struct State {
    var entries: [Place: Entry] = [:]
    var failures: [String] = []
    var nextID = 0
  }

  private let producer: KafkaProducer
  private let state = Mutex(State())

  init(brokers: [String], properties: [String: String] = [:]) throws {
    var configuration = KafkaProducerConfiguration(brokers: brokers)
    configuration.recordMaxBytes = 64 << 20
    configuration.properties = properties
    producer = try KafkaProducer(configuration)
  }

  var entries: [Place: Entry] { state.withLock { $0.entries } }
  var count: Int { state.withLock { $0.entries.count } }

  func count(_ fate: Fate) -> Int { state.withLock { $0.entries.values.count { $0.fate == fate } } }

  /// Produces records, round robin over the partitions, and waits until all are acknowledged.
  func produce(
    _ count: Int, to topic: String, partitions: Int32, textBytes: Int = 20, within timeout: Duration = .patience,
    fate: (Int) -> Fate = { _ in .row }
  ) async throws {
    for _ in 0..<count {
      let id = state.withLock { state in
        state.nextID += 1
        return state.nextID
      }
      let fate = fate(id)
      let value = Self.value(id, fate, textBytes: textBytes)
      let entry = Entry(id: id, fate: fate, checksum: Self.checksum(id, textBytes))
      let partition = TopicPartition(topic, Int32(id) % partitions)
      let deadline = ContinuousClock.now + timeout
      while try !offer(entry, value, to: partition) {
        guard ContinuousClock.now < deadline else { throw HarnessProblem("\(partition) takes no records") }
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    try await producer.flush(within: timeout)
    let failures = state.withLock { $0.failures }
    guard failures.isEmpty else { throw HarnessProblem("records were not delivered: \(failures.prefix(3))") }
  }

  /// - Returns: false while the producer's queue is full, or it does not know the partition yet.
  private func offer(_ entry: Entry, _ value: [UInt8]?, to partition: TopicPartition) throws -> Bool {
    let (id, topic) = (entry.id, partition.topic)
    // Some records have no key and no headers.
    let key = id % 3 == 0 ? nil : Array("key \(id)".utf8)
    let headers = id % 2 == 0 ? [] : [Record.Header("trace", Array("t\(id)".utf8)), Record.Header("empty", nil)]
    do throws(KafkaError) {
      try producer.send(topic: topic, partition: partition.partition, key: key, value: value, headers: headers) {
        result in
        self.state.withLock { state in
          switch result {
          case .success(let delivery):
            state.entries[Place(topic: topic, partition: delivery.partition, offset: delivery.offset)] = entry
          case .failure(let error): state.failures.append("\(error)")
          }
        }
      }
      return true
    } catch {
      // It learns of new partitions a little later than the broker.
      if error.code == .queueFull || error.code == .unknownTopicOrPartition { return false }
      throw error
    }
  }

  func close() async { await producer.close(within: .seconds(5)) }

  static func value(_ id: Int, _ fate: Fate, textBytes: Int) -> [UInt8]? {
    guard fate != .tombstone else { return nil }
    let kind = fate == .refused ? "refused" : "fine"
    let level = fate == .bad ? "70000" : "\(id % 200)"
    return Array(
      #"{"id":\#(id),"kind":"\#(kind)","level":\#(level),"checksum":\#(checksum(id, textBytes)),"text":"\#(text(id, textBytes))"}"#
        .utf8)
  }

  static func text(_ id: Int, _ bytes: Int) -> String {
    String(repeating: "abcdefghijklmnopqrstuvwxyz".dropFirst(id % 26).prefix(1).description, count: bytes)
  }

  /// FNV-1a over what the row is to hold.
  private static func checksum(_ id: Int, _ textBytes: Int) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for value in [id, textBytes, id % 26] {
      for shift in stride(from: 0, to: 64, by: 8) {
        hash = (hash ^ UInt64((value >> shift) & 0xff)) &* 0x100_0000_01b3
      }
    }
    return hash
  }
}

struct HarnessProblem: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
