internal import ClickHouseClient

/// Reads a zone's transitions from the server: what it will show is what counts, not what this machine's files say.
struct ZoneReader {
  let client: ClickHouseClient

  /// From 1970 to 2106, what `DateTime` holds; before and after, the first and last offsets are taken to hold.
  func read(_ name: String) async throws(ClickHouseError) -> ZoneTransitions {
    if name == "UTC" || name == "Etc/UTC" { return .utc }
    let zone = Self.literal(name)
    // A zone's offset at a time: its clock's text, read as if it were UTC, less the time itself. The zone is an argument
    // of its own: old servers do not heed the one in the time's type.
    let offset = { (time: String) in
      "toInt64(toUnixTimestamp(toDateTime(formatDateTime(toDateTime(\(time)), '%F %T', \(zone)), 'UTC'))) - toInt64(\(time))"
    }
    let first = try await numbers("SELECT \(offset("toUInt32(86400)")), 0")
    // Days at whose end the offset is another than at their start, then the quarter of an hour within the day.
    let days = try await numbers(
      "SELECT number, 0 FROM numbers(49708) WHERE number > 0 AND (\(offset("toUInt32(number * 86400)"))) != "
        + "(\(offset("toUInt32((number + 1) * 86400)")))")
    var changes: [(instant: Int64, offset: Int32)] = []
    for chunk in stride(from: 0, to: days.count, by: 100) {
      let list = days[chunk..<min(chunk + 100, days.count)].map { String($0.0) }.joined(separator: ", ")
      let found = try await numbers(
        "SELECT t, \(offset("t")) FROM (SELECT toUInt32(day * 86400 + quarter * 900) AS t FROM "
          + "(SELECT arrayJoin([\(list)]) AS day) AS a CROSS JOIN (SELECT number + 1 AS quarter FROM numbers(96)) AS b) AS c "
          + "ORDER BY t")
      for (time, offset) in found {
        let before = changes.last?.offset ?? Int32(truncatingIfNeeded: first.first?.0 ?? 0)
        if Int32(truncatingIfNeeded: offset) != before { changes.append((time, Int32(truncatingIfNeeded: offset))) }
      }
    }
    return ZoneTransitions(initialOffset: Int32(truncatingIfNeeded: first.first?.0 ?? 0), changes: changes)
  }

  private func numbers(_ sql: String) async throws(ClickHouseError) -> [(Int64, Int64)] {
    try await client.queryText(sql + " FORMAT TabSeparated").split(separator: "\n").compactMap { line in
      let fields = line.split(separator: "\t")
      guard fields.count == 2, let one = Int64(fields[0]), let other = Int64(fields[1]) else { return nil }
      return (one, other)
    }
  }

  private static func literal(_ text: String) -> String {
    "'" + text.reduce(into: "") { $0 += $1 == "'" || $1 == "\\" ? "\\\($1)" : String($1) } + "'"
  }
}
