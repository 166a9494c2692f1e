internal import ClickHouseClient

/// What a table holds of a topic, by `_partition` and `_offset`. Every question is one request with the deadline of the
/// client's configuration; answers are a line for each partition, bucket or offset.
struct TableOffsets: Sendable {
  let client: ClickHouseClient
  let table: TableName
  let topic: String

  /// What a table needs, and of which types they are best; servers before 20.x have no LowCardinality to speak of.
  static let columns = [
    (name: "_topic", type: "LowCardinality(String)", oldType: "String"),
    (name: "_partition", type: "Int32", oldType: "Int32"), (name: "_offset", type: "Int64", oldType: "Int64"),
  ]
  /// Of a failing server: an audit is not worth waiting for longer.
  private static let attempts = 5

  /// What the table holds of one partition.
  struct Extent: Sendable {
    let rows: Int
    let first: Int64
    let last: Int64
    /// Rows of offsets below what the question named.
    let rowsBelow: Int
  }

  /// - Parameter lows: by partition, the offset below which rows are counted apart.
  func survey(_ lows: [Int32: Int64]) async throws(ClickHouseError) -> [Int32: Extent] {
    guard !lows.isEmpty else { return [:] }
    let low = Self.transform(lows, default: 0)
    let lines = try await ask(
      "SELECT toInt32(_partition) AS p, count(), min(toInt64(_offset)), max(toInt64(_offset)), countIf(_offset < \(low)) "
        + "FROM \(table.sql) WHERE _topic = \(TableName.literal(topic)) AND _partition IN (\(Self.list(lows.keys))) "
        + "GROUP BY p")
    var extents: [Int32: Extent] = [:]
    for line in lines {
      extents[Int32(truncatingIfNeeded: line[0])] = Extent(
        rows: Int(line[1]), first: line[2], last: line[3], rowsBelow: Int(line[4]))
    }
    return extents
  }

  /// - Returns: by partition and bucket, what is there of these ranges.
  func fingerprints(_ ranges: [Int32: Range<Int64>]) async throws(ClickHouseError) -> [Int32: [Int64:
    OffsetFingerprint]]
  {
    let ranges = ranges.filter { !$0.value.isEmpty }
    guard let first = ranges.values.map(\.lowerBound).min(), let end = ranges.values.map(\.upperBound).max() else {
      return [:]
    }
    let lows = Self.transform(ranges.mapValues(\.lowerBound), default: .max)
    let ends = Self.transform(ranges.mapValues(\.upperBound), default: 0)
    let lines = try await ask(
      "SELECT toInt32(_partition) AS p, intDiv(toInt64(_offset), \(LogBucket.width)) AS b, count(), "
        + "sum(intHash64(toUInt64(_offset))), groupBitXor(intHash64(toUInt64(_offset))) "
        + "FROM \(table.sql) WHERE _topic = \(TableName.literal(topic)) AND _partition IN (\(Self.list(ranges.keys))) "
        + "AND _offset >= \(first) AND _offset < \(end) AND _offset >= \(lows) AND _offset < \(ends) GROUP BY p, b")
    var found: [Int32: [Int64: OffsetFingerprint]] = [:]
    for line in lines {
      found[Int32(truncatingIfNeeded: line[0]), default: [:]][line[1]] = OffsetFingerprint(
        count: Int(line[2]), sum: UInt64(bitPattern: line[3]), xor: UInt64(bitPattern: line[4]))
    }
    return found
  }

  /// - Returns: by partition, how often each offset of these stretches is there, ascending.
  func counts(_ stretches: [(partition: Int32, offsets: Range<Int64>)]) async throws(ClickHouseError) -> [Int32:
    [OffsetCount]]
  {
    guard !stretches.isEmpty else { return [:] }
    let places = stretches.map {
      "(_partition = \($0.partition) AND _offset >= \($0.offsets.lowerBound) AND _offset < \($0.offsets.upperBound))"
    }
    let lines = try await ask(
      "SELECT toInt32(_partition) AS p, toInt64(_offset) AS o, count() FROM \(table.sql) "
        + "WHERE _topic = \(TableName.literal(topic)) AND (\(places.joined(separator: " OR "))) GROUP BY p, o ORDER BY p, o"
    )
    var counts: [Int32: [OffsetCount]] = [:]
    for line in lines {
      counts[Int32(truncatingIfNeeded: line[0]), default: []].append(OffsetCount(offset: line[1], count: Int(line[2])))
    }
    return counts
  }

  private static func list(_ partitions: some Collection<Int32>) -> String {
    partitions.sorted().map { "\($0)" }.joined(separator: ", ")
  }

  /// A number for each partition, as SQL.
  private static func transform(_ values: [Int32: Int64], default other: Int64) -> String {
    let pairs = values.sorted { $0.key < $1.key }
    let (from, to) = (pairs.map { "toInt32(\($0.key))" }, pairs.map { "toInt64(\($0.value))" })
    return "transform(toInt32(_partition), [\(from.joined(separator: ", "))], [\(to.joined(separator: ", "))], "
      + "toInt64(\(other)))"
  }

  /// Rows of whole numbers; a UInt64 comes as the Int64 of the same bits. A server that is overloaded or restarts is asked again a few times.
  private func ask(_ sql: String) async throws(ClickHouseError) -> [[Int64]] {
    var attempt = 1
    while true {
      do throws(ClickHouseError) {
        return try Self.numbers(await client.queryExactly(sql))
      } catch {
        guard error.isRetriable, attempt < Self.attempts, !Task.isCancelled else { throw error }
        try? await Task.sleep(for: .seconds(attempt))
        attempt += 1
      }
    }
  }

  private static func numbers(_ text: String) throws(ClickHouseError) -> [[Int64]] {
    var lines: [[Int64]] = []
    var line: [Int64] = []
    var number: (value: Int64, isNegative: Bool)?
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        let (value, isNegative) = number ?? (0, false)
        let digit = Int64(byte - UInt8(ascii: "0"))
        number = (value &* 10 &+ (isNegative ? -digit : digit), isNegative)
      case UInt8(ascii: "-") where number == nil: number = (0, true)
      case UInt8(ascii: "\t"), UInt8(ascii: "\n"):
        guard let taken = number else { break }
        line.append(taken.value)
        number = nil
        if byte == UInt8(ascii: "\n") {
          lines.append(line)
          line = []
        }
      default:
        throw ClickHouseError(code: .malformedData, message: "the server answers '\(text.prefix(100))', not numbers")
      }
    }
    return lines
  }
}
