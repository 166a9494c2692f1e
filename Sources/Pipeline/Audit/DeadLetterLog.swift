internal import KafkaClient
internal import Synchronization

/// The dead letters of a topic, read through: which records they tell of.
struct DeadLetterLog: ~Copyable, RangeVisitor, Sendable {
  /// 64 MiB of memory.
  static let lettersMax = 4 << 20

  /// What is found, by the record's partition.
  final class Findings: Sendable {
    private struct State {
      var offsets: [TopicPartition: [Int64]] = [:]
      var count = 0
    }

    private let state = Mutex(State())
    private let wanted: [TopicPartition: Range<Int64>]

    init(_ wanted: [TopicPartition: Range<Int64>]) { self.wanted = wanted }

    /// Whether there are more than fit.
    var isOver: Bool { state.withLock { $0.count > DeadLetterLog.lettersMax } }

    fileprivate func add(_ partition: TopicPartition, _ offset: Int64) {
      guard wanted[partition]?.contains(offset) == true else { return }
      state.withLock { state in
        state.count += 1
        if state.count <= DeadLetterLog.lettersMax { state.offsets[partition, default: []].append(offset) }
      }
    }

    /// Ascending, each offset with how often it is there.
    func counts(of partition: TopicPartition) -> [OffsetCount] {
      let offsets = state.withLock { $0.offsets[partition] ?? [] }.sorted()
      var counts: [OffsetCount] = []
      for offset in offsets {
        if let last = counts.last, last.offset == offset {
          counts[counts.count - 1] = OffsetCount(offset: offset, count: last.count + 1)
        } else {
          counts.append(OffsetCount(offset: offset, count: 1))
        }
      }
      return counts
    }
  }

  private let findings: Findings

  init(_ findings: Findings) { self.findings = findings }

  var isFull: Bool { false }

  mutating func visit(_ batch: borrowing RecordBatch, _ indices: Range<Int>, of range: Int) {
    for index in indices {
      var topic: String?
      var partition: Int32?
      var offset: Int64?
      // Ours are the last: a record that was a dead letter before has older ones of these names.
      batch[index].forEachHeader { name, value in
        guard let value else { return }
        switch Self.text(name) {
        case "sinkctl.topic": topic = Self.text(value)
        case "sinkctl.partition": partition = Int32(Self.text(value))
        case "sinkctl.offset": offset = Int64(Self.text(value))
        default: break
        }
      }
      guard let topic, let partition, let offset else { continue }
      findings.add(TopicPartition(topic, partition), offset)
    }
  }

  private static func text(_ span: RawSpan) -> String {
    unsafe span.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }

  mutating func passed(_ offset: Int64, of range: Int) {}
  mutating func ended(_ offset: Int64, of range: Int) {}
}

extension [OffsetCount] {
  /// By bucket, each offset once.
  var fingerprints: [Int64: OffsetFingerprint] {
    reduce(into: [:]) { $0[LogBucket.number(of: $1.offset), default: OffsetFingerprint()].insert($1.offset) }
  }
}
