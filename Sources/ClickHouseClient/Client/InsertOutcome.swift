/// What became of an insert. There is no fourth answer, and none of them is a Bool.
public enum InsertOutcome: Sendable {
  /// The server has said that it has stored the block, or that it had stored it before (by its deduplication token).
  case accepted(InsertSummary)
  /// It was not stored, and the server or the way to it said why.
  case rejected(ClickHouseError)
  /// Nobody knows: the request went out and no clear answer came. Only the same bytes with the same token may follow.
  case unknown(ClickHouseError)
}

/// What `X-ClickHouse-Summary` says; nil where the server says nothing. A deduplicated block may count as written.
public struct InsertSummary: Sendable, Equatable {
  public let writtenRows: Int?
  public let writtenBytes: Int?

  public init(writtenRows: Int? = nil, writtenBytes: Int? = nil) {
    self.writtenRows = writtenRows
    self.writtenBytes = writtenBytes
  }

  /// From the header's JSON, whose values are strings of digits.
  init(header: String?) {
    self.init(
      writtenRows: header.flatMap { Self.number("written_rows", in: $0) },
      writtenBytes: header.flatMap { Self.number("written_bytes", in: $0) })
  }

  private static func number(_ name: String, in json: String) -> Int? {
    guard let found = json.firstRange(of: "\"\(name)\":\"") else { return nil }
    return Int(json[found.upperBound...].prefix { $0.isNumber })
  }
}

/// One attempt to insert.
public struct InsertResponse: Sendable {
  public let outcome: InsertOutcome
  /// From handing it over to its outcome, waiting for a free connection included.
  public let duration: Duration
  /// The attempt's own, for `system.query_log`.
  public let queryID: String

  public init(outcome: InsertOutcome, duration: Duration, queryID: String) {
    self.outcome = outcome
    self.duration = duration
    self.queryID = queryID
  }
}
