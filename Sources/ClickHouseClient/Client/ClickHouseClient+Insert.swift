internal import SinkThreads
internal import Synchronization

/// One attempt to insert one encoded block.
public struct InsertRequest: Sendable {
  public let table: TableName
  public let block: EncodedBlock
  /// ClickHouse drops a block whose token it has seen, within the table's window; content is not compared.
  public let deduplicationToken: String?
  public let settings: [(String, String)]

  public init(
    table: TableName, block: EncodedBlock, deduplicationToken: String? = nil, settings: [(String, String)] = []
  ) {
    self.table = table
    self.block = block
    self.deduplicationToken = deduplicationToken
    self.settings = settings
  }
}

extension ClickHouseClient {
  /// Inserts a block as one Native block in one request.
  public func insert(
    _ block: borrowing Block, into table: TableName, deduplicationToken: String? = nil,
    settings: [(String, String)] = []
  ) async throws(ClickHouseError) -> InsertOutcome {
    let encoded = try EncodedBlock(block, compression: configuration.compression)
    try await learnSettings()
    let request = InsertRequest(
      table: table, block: encoded, deduplicationToken: deduplicationToken, settings: settings)
    return await withCheckedContinuation { continuation in
      insert(request) { continuation.resume(returning: $0.outcome) }
    }
  }

  /// Sends an encoded block once. The same request may be sent again: the bytes do not change.
  /// - Parameter completion: comes exactly once, on the client's own thread; it must not block.
  public func insert(_ request: InsertRequest, completion: @escaping @Sendable (InsertResponse) -> Void) {
    let queryID = Self.makeQueryID()
    let columns = request.block.layout.names.map(TableName.quote).joined(separator: ", ")
    var pairs = [("query", "INSERT INTO \(request.table.sql) (\(columns)) FORMAT Native")]
    if request.block.compression.usesFrames { pairs.append(("decompress", "1")) }
    pairs += insertSettings(token: request.deduplicationToken)
    pairs += request.settings
    let http = makeRequest(
      pairs, body: request.block.body, contentEncoding: request.block.compression.contentEncoding, queryID: queryID)
    start(
      CurlTransfer(http, startedAt: time.monotonic()) { response in
        completion(
          InsertResponse(outcome: Self.outcome(of: response), duration: response.duration, queryID: queryID))
      })
  }

  private static func outcome(of response: HTTPResponse) -> InsertOutcome {
    switch ResponseClassifier.classify(response) {
    // ClickHouse answers an insert with nothing: a 200 that says something is a proxy's page.
    case .success where !response.tail.isEmpty:
      .unknown(
        ClickHouseError(
          code: .proxy,
          message:
            "an insert was answered with a page, which ClickHouse does not do: something between us and the server "
            + "answered: \(ResponseClassifier.shortened(String(decoding: response.tail, as: UTF8.self)))",
          isRetriable: true))
    case .success: .accepted(InsertSummary(header: response.headers[ResponseClassifier.summaryHeader]))
    case .neverSent(let error): .rejected(error)
    case .refused(let error) where ErrorCatalog.leavesOutcomeOpen(error.serverCode): .unknown(error)
    // Seen on 26.x: the table itself has the rows by then, whatever the view made of them.
    case .refused(let error) where error.message.contains("while pushing to view"): .unknown(error)
    case .refused(let error): .rejected(error)
    // A gateway that gives up may have passed the request on.
    case .foreign(let error), .unknown(let error): .unknown(error)
    }
  }

  /// What inserts ask of the server, as far as it knows the settings. Each is sent because a server's default is another,
  /// was another, or may be changed by a profile.
  private func insertSettings(token: String?) -> [(String, String)] {
    let known = knownSettings.withLock { $0 } ?? []
    var pairs = [
      // The answer comes when the insert is done: its status is the outcome.
      ("wait_end_of_query", "1"),
      // Since 26.2 asynchronous inserts are the default: they would cut and merge our blocks.
      ("async_insert", "0"),
      ("insert_deduplicate", "1"),
      ("deduplicate_blocks_in_dependent_materialized_views", "1"),
      ("http_write_exception_in_output_format", "0"),
    ].filter { $0.0 == "wait_end_of_query" || known.contains($0.0) }
    if let token, known.contains("insert_deduplication_token") { pairs.append(("insert_deduplication_token", token)) }
    return pairs
  }

  static let wantedSettings = [
    "async_insert", "insert_deduplicate", "deduplicate_blocks_in_dependent_materialized_views",
    "http_write_exception_in_output_format", "insert_deduplication_token", "input_format_null_as_default",
  ]

  /// Asks the server once which of these settings it knows: an unknown one is error 115. Whoever inserts through a
  /// completion calls this before; without it no setting is sent.
  public func learnSettings() async throws(ClickHouseError) {
    guard knownSettings.withLock({ $0 == nil }) else { return }
    let names = Self.wantedSettings.map(TableName.literal).joined(separator: ", ")
    let text = try await queryText("SELECT name FROM system.settings WHERE name IN (\(names))")
    knownSettings.withLock { $0 = Set(text.split(separator: "\n").map(String.init)) }
  }

  /// Whether the server has a setting, of those in `wantedSettings`; false before `learnSettings`.
  public func knowsSetting(_ name: String) -> Bool { knownSettings.withLock { $0?.contains(name) ?? false } }
}
