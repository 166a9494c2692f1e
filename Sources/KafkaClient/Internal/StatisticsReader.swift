/// Reads librdkafka's own statistics: JSON that it wrote itself, every few seconds at most. Not for records.
struct StatisticsReader {
  indirect enum Value {
    case number(Double)
    case text(String)
    case list([Value])
    case object([String: Value])
    case other

    subscript(_ key: String) -> Value? {
      if case .object(let members) = self { return members[key] }
      return nil
    }

    var integer: Int64? {
      if case .number(let number) = self { return Int64(exactly: number.rounded(.towardZero)) }
      return nil
    }
  }

  private static let depthMax = 16
  private let bytes: [UInt8]
  private var index = 0

  /// nil where the text is not what librdkafka writes.
  static func parse(_ json: String) -> Value? {
    var reader = StatisticsReader(bytes: Array(json.utf8))
    return reader.value(depth: 0)
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private mutating func next() -> UInt8? {
    while index < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[index]) { index += 1 }
    return index < bytes.count ? bytes[index] : nil
  }

  private mutating func take(_ byte: Character) -> Bool {
    guard next() == byte.asciiValue else { return false }
    index += 1
    return true
  }

  private mutating func value(depth: Int) -> Value? {
    guard depth < Self.depthMax, let first = next() else { return nil }
    switch first {
    case UInt8(ascii: "{"): return object(depth)
    case UInt8(ascii: "["): return list(depth)
    case UInt8(ascii: "\""): return text().map { .text($0) }
    default: return word()
    }
  }

  private mutating func object(_ depth: Int) -> Value? {
    guard take("{") else { return nil }
    var members: [String: Value] = [:]
    if take("}") { return .object(members) }
    repeat {
      guard let key = text(), take(":"), let value = value(depth: depth + 1) else { return nil }
      members[key] = value
    } while take(",")
    return take("}") ? .object(members) : nil
  }

  private mutating func list(_ depth: Int) -> Value? {
    guard take("[") else { return nil }
    var elements: [Value] = []
    if take("]") { return .list(elements) }
    repeat {
      guard let value = value(depth: depth + 1) else { return nil }
      elements.append(value)
    } while take(",")
    return take("]") ? .list(elements) : nil
  }

  /// librdkafka escapes nothing; a backslash keeps the byte after it.
  private mutating func text() -> String? {
    guard take("\"") else { return nil }
    var content: [UInt8] = []
    while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
      if bytes[index] == UInt8(ascii: "\\") { index += 1 }
      guard index < bytes.count else { return nil }
      content.append(bytes[index])
      index += 1
    }
    return take("\"") ? String(decoding: content, as: UTF8.self) : nil
  }

  private mutating func word() -> Value? {
    let start = index
    while index < bytes.count, ![0x2c, 0x7d, 0x5d, 0x20, 0x0a].contains(bytes[index]) { index += 1 }
    let word = String(decoding: bytes[start..<index], as: UTF8.self)
    if let number = Double(word) { return .number(number) }
    return ["true", "false", "null"].contains(word) ? .other : nil
  }
}

extension ConsumerStatistics {
  /// From librdkafka's text (its STATISTICS.md); nil where it is not that.
  /// - Parameter isolation: says which end the lag is measured to.
  init?(json: String, _ isolation: IsolationLevel) {
    guard let root = StatisticsReader.parse(json), case .object(let topics)? = root["topics"] else { return nil }
    var partitions: [Partition] = []
    for (topic, value) in topics {
      guard case .object(let list)? = value["partitions"] else { continue }
      for (number, values) in list {
        // -1 is librdkafka's place for what has no partition yet.
        guard let number = Int32(number), number >= 0 else { continue }
        // librdkafka's own `consumer_lag` starts at what was committed, and is unknown before the first commit.
        let end = values[isolation == .readCommitted ? "ls_offset" : "hi_offset"]?.integer ?? -1
        let next = values["app_offset"]?.integer ?? -1
        partitions.append(
          Partition(
            partition: TopicPartition(topic, number), lag: end >= 0 && next >= 0 ? max(0, end - next) : nil,
            queuedRecords: values["fetchq_cnt"]?.integer ?? 0, queuedBytes: values["fetchq_size"]?.integer ?? 0))
      }
    }
    var slowest: Int64?
    if case .object(let brokers)? = root["brokers"] {
      slowest = brokers.values.compactMap { $0["rtt"]?["avg"]?.integer }.filter { $0 > 0 }.max()
    }
    self.init(
      partitions: partitions.sorted { $0.partition < $1.partition }, receivedBytes: root["rx_bytes"]?.integer ?? 0,
      receivedRecords: root["rxmsgs"]?.integer ?? 0, queuedOperations: root["replyq"]?.integer ?? 0,
      roundTrip: slowest.map { .microseconds($0) }, json: json)
  }
}
