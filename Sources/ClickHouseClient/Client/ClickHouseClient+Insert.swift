internal import SinkThreads
internal import Synchronization

/// One attempt to insert one encoded block.
public struct InsertRequest: Sendable {
  public let table: TableName
  public let block: EncodedBlock
  /// ClickHouse drops a block whose token it has seen, within the table's window; content is not compared.
  public let deduplicationToken: String?
  /// Sent after the client's own, which they overrule.
  public let settings: [(String, String)]
  /// From the request's first byte to the answer's last; nil: the client's `requestTimeout`.
  public let deadline: Duration?

  public init(
    table: TableName, block: EncodedBlock, deduplicationToken: String? = nil, settings: [(String, String)] = [],
    deadline: Duration? = nil
  ) {
    self.deadline = deadline
    self.table = table
    self.block = block
    self.deduplicationToken = deduplicationToken
    self.settings = settings
  }
}

extension ClickHouseClient {
  /// Inserts a block as one Native block in one request, sent once.
  ///
  /// A cancelled task ends the request: where something of it was sent, the outcome is `unknown`. What fails before,
  /// such as an encoding or the question for the server's settings, is `rejected`.
  /// - Parameters:
  ///   - table: `nil`: the block's own, which `emptyBlock(for:)` set.
  ///   - deduplicationToken: the same for every attempt with the same block; sent to servers that know it (22.2 and
  ///     later).
  ///   - settings: of this insert.
  public func insert(
    _ block: borrowing Block, into table: TableName? = nil, deduplicationToken: String? = nil,
    settings: [(String, String)] = []
  ) async -> InsertOutcome {
    let request: InsertRequest
    do throws(ClickHouseError) {
      guard let table = table ?? block.layout.table else {
        throw ClickHouseError(
          code: .configuration, message: "the block names no table: emptyBlock(for:) makes one that does, or pass one")
      }
      let encoded = try EncodedBlock(block, compression: configuration.compression)
      try await learnSettings()
      request = InsertRequest(table: table, block: encoded, deduplicationToken: deduplicationToken, settings: settings)
    } catch {
      return .rejected(error)
    }
    return Self.outcome(of: await send(makeRequest(request, queryID: Self.makeQueryID())))
  }

  /// Sends an encoded block once. The same request may be sent again: the bytes do not change.
  /// - Parameter completion: comes exactly once, on the client's own thread or the caller's; it must not block.
  public func insert(_ request: InsertRequest, completion: @escaping @Sendable (InsertResponse) -> Void) {
    let queryID = Self.makeQueryID()
    start(
      CurlTransfer(makeRequest(request, queryID: queryID), startedAt: time.monotonic()) { response in
        completion(
          InsertResponse(outcome: Self.outcome(of: response), duration: response.duration, queryID: queryID))
      })
  }

  private func makeRequest(_ request: InsertRequest, queryID: String) -> HTTPRequest {
    let columns = request.block.layout.names.map(TableName.quote).joined(separator: ", ")
    var pairs = [("query", "INSERT INTO \(request.table.sql) (\(columns)) FORMAT Native")]
    if request.block.compression.usesFrames { pairs.append(("decompress", "1")) }
    pairs += insertSettings(token: request.deduplicationToken)
    pairs += request.settings
    return makeRequest(
      pairs, body: request.block.body, contentEncoding: request.block.compression.contentEncoding, queryID: queryID,
      deadline: request.deadline)
  }

  private static func outcome(of response: HTTPResponse) -> InsertOutcome {
    switch ResponseClassifier.classify(response, expecting: .nothing) {
    case .success: .accepted(InsertSummary(header: response.headers[ResponseClassifier.summaryHeader]))
    case .neverSent(let error): .rejected(error)
    case .refused(let error) where error.code == .partial || ErrorCatalog.effect(of: error.serverCode ?? 0) == .open:
      .unknown(error)
    case .refused(let error): .rejected(error)
    // A gateway that gives up may have passed the request on.
    case .foreign(let error), .unknown(let error): .unknown(error)
    }
  }

  /// What inserts ask of the server, as far as it knows the settings. Each is sent because a server's default is
  /// another, was another, or may be changed by a profile.
  private func insertSettings(token: String?) -> [(String, String)] {
    let known = knownSettings.withLock { $0 } ?? []
    var pairs = [
      // The answer comes when the insert is done: its status is the outcome.
      ("wait_end_of_query", "1"),
      // Since 26.2 asynchronous inserts are the default: they would cut and merge our blocks.
      ("async_insert", "0"),
      ("insert_deduplicate", "1"),
      // Where it is known it overrules the one above: a profile with `disable` would double every repeated block.
      ("deduplicate_insert", "enable"),
      // A block would be cut by the profile's sizes, each piece with a token of its own: other sizes, other pieces.
      ("use_strict_insert_block_limits", "0"),
      ("deduplicate_blocks_in_dependent_materialized_views", "1"),
      ("http_write_exception_in_output_format", "0"),
    ].filter { $0.0 == "wait_end_of_query" || known.contains($0.0) }
    if let token, known.contains("insert_deduplication_token") { pairs.append(("insert_deduplication_token", token)) }
    return pairs
  }

  static let wantedSettings = [
    "async_insert", "insert_deduplicate", "deduplicate_insert", "use_strict_insert_block_limits",
    "deduplicate_blocks_in_dependent_materialized_views",
    "http_write_exception_in_output_format", "insert_deduplication_token", "input_format_null_as_default",
    "select_sequential_consistency",
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
