extension ClickHouseClient {
  /// Runs a statement and streams its rows, typed, as the server sends them.
  ///
  /// The request goes out when the first row is asked for, once for each iterator. Memory is bounded: while the rows
  /// are not taken, the answer stays in the socket. Ending the loop early, or cancelling its task, ends the request.
  /// The whole has no deadline; connecting and stalling have theirs.
  ///
  /// ```swift
  /// for try await row in clickhouse.query("SELECT id, user FROM events WHERE id > {low:UInt64}", parameters: ["low": "5"]) {
  ///   print(row["id"]?.integer(as: UInt64.self), row["user"]?.string)
  /// }
  /// ```
  /// - Parameters:
  ///   - sql: without a `FORMAT`: rows come as Native.
  ///   - parameters: for `{name:Type}` places in the statement (20.1 and later): the text of a value, without quotes
  ///     for a string; `nil` is NULL.
  ///   - settings: of this statement.
  public func query(
    _ sql: String, parameters: KeyValuePairs<String, String?> = [:], settings: [(name: String, value: String)] = []
  ) -> ClickHouseRows {
    var pairs = [("default_format", "Native")] + answerSettings + parameters.map(Self.parameter)
    pairs += settings.map { ($0.name, $0.value) }
    return ClickHouseRows(client: self, sql: sql, pairs: pairs)
  }
}

/// The rows of a query's answer. Its loop throws what the server says, also in the middle of an answer, `malformedData`
/// for what is no Native answer, `limitExceeded` for a block of more than `blockLimitBytes`, and what happened on the
/// way.
public struct ClickHouseRows: AsyncSequence, Sendable {
  public typealias Element = ClickHouseRow
  public typealias Failure = ClickHouseError

  let client: ClickHouseClient
  let sql: String
  let pairs: [(String, String)]

  public func makeAsyncIterator() -> AsyncIterator {
    let request = client.makeRequest(
      pairs, body: HTTPBody(sql), contentEncoding: nil, queryID: ClickHouseClient.makeQueryID())
    return AsyncIterator(reader: QueryReader(client, request))
  }

  public struct AsyncIterator: AsyncIteratorProtocol {
    private let reader: QueryReader

    init(reader: QueryReader) { self.reader = reader }

    public mutating func next() async throws(ClickHouseError) -> ClickHouseRow? { try await reader.next() }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClickHouseError) -> ClickHouseRow? {
      try await reader.next()
    }
  }
}

@available(*, unavailable)
extension ClickHouseRows.AsyncIterator: Sendable {}
