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
    let pairs = pairs(of: request)
    return outcome(of: await send(makeRequest(request, pairs, queryID: Self.makeQueryID())), pairs)
  }

  /// Sends an encoded block once. The same request may be sent again: the bytes do not change.
  /// - Parameter completion: comes exactly once, on the client's own thread or the caller's; it must not block.
  public func insert(_ request: InsertRequest, completion: @escaping @Sendable (InsertResponse) -> Void) {
    let queryID = Self.makeQueryID()
    let pairs = pairs(of: request)
    start(
      CurlTransfer(makeRequest(request, pairs, queryID: queryID), startedAt: time.monotonic()) { [self] response in
        completion(
          InsertResponse(outcome: outcome(of: response, pairs), duration: response.duration, queryID: queryID))
      })
  }

  private func makeRequest(_ request: InsertRequest, _ pairs: [(name: String, value: String)], queryID: String)
    -> HTTPRequest
  {
    makeRequest(
      pairs.map { ($0.name, $0.value) }, body: request.block.body,
      contentEncoding: request.block.compression.contentEncoding, queryID: queryID, deadline: request.deadline)
  }

  private func pairs(of request: InsertRequest) -> [(name: String, value: String)] {
    let columns = request.block.layout.names.map(TableName.quote).joined(separator: ", ")
    var pairs = [(name: "query", value: "INSERT INTO \(request.table.sql) (\(columns)) FORMAT Native")]
    if request.block.compression.usesFrames { pairs.append(("decompress", "1")) }
    // The answer comes when the insert is done: its status is the outcome.
    pairs.append(("wait_end_of_query", "1"))
    pairs += known(WantedSettings.inserts)
    if let token = request.deduplicationToken, knowsSetting(WantedSettings.token) {
      pairs += known(WantedSettings.tokens) + [(WantedSettings.token, token)]
    }
    return pairs + request.settings.map { ($0.0, $0.1) }
  }

  private func outcome(of response: HTTPResponse, _ sent: [(name: String, value: String)]) -> InsertOutcome {
    switch ResponseClassifier.classify(response, expecting: .nothing) {
    case .success: .accepted(InsertSummary(header: response.headers[ResponseClassifier.summaryHeader]))
    case .neverSent(let error): .rejected(error)
    case .refused(let error) where error.isOfTooManyPartitions: .rejected(error)
    case .refused(let error) where error.code == .partial || ErrorCatalog.effect(of: error.serverCode ?? 0) == .open:
      .unknown(error)
    case .refused(let error): .rejected(advised(error, sent))
    // A gateway that gives up may have passed the request on.
    case .foreign(let error), .unknown(let error): .unknown(error)
    }
  }
}
