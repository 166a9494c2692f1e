internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Speaks with one ClickHouse over HTTP: inserts blocks, asks questions.
///
/// One thread of its own holds all connections. Shutting down is explicit: `close` cancels what is under way.
///
/// ```swift
/// let clickhouse = try ClickHouseClient(ClickHouseConfiguration(url: "https://….clickhouse.cloud:8443", user: "sink", password: secret))
/// var block = try await clickhouse.emptyBlock(for: "analytics.events")
/// try block.appendRow(["id": 7, "user": "ada"])
/// let outcome = await clickhouse.insert(block, deduplicationToken: "events-7")   // accepted · rejected · unknown
/// for try await row in clickhouse.query("SELECT id, user FROM events WHERE id > {low:UInt64}", parameters: ["low": "5"]) {
///   print(row["id"], row["user"])
/// }
/// ```
public final class ClickHouseClient: Sendable {
  public let configuration: ClickHouseConfiguration
  let time: TimeSource
  let address: ServerAddress
  private let loop: CurlLoop
  private let isClosed = Atomic<Bool>(false)
  /// Of the settings that we send, those that this server knows; asked once.
  let settings = Mutex<[String: ServerSetting]?>(nil)

  /// - Throws: `configuration`, with what cannot work. Nothing is connected yet.
  public init(_ configuration: ClickHouseConfiguration) throws(ClickHouseError) {
    let problems = configuration.validate()
    guard problems.isEmpty else {
      throw ClickHouseError(code: .configuration, message: problems.joined(separator: "; "))
    }
    self.configuration = configuration
    time = .system
    address = try ServerAddress(configuration.url)
    loop = CurlLoop(configuration, address, time: time)
  }

  deinit { assert(isClosed.load(ordering: .relaxed), "a ClickHouseClient must be closed before it is let go") }

  /// Cancels what is under way and ends the thread; everything after it answers `cancelled`. Waits for the thread,
  /// which takes milliseconds.
  public func close() {
    guard isClosed.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else { return }
    loop.stop()
  }

  /// Asks `/ping`'s question in a way that checks the credentials too.
  /// - Throws: why the server cannot be used.
  public func ping() async throws(ClickHouseError) { _ = try await queryText("SELECT 1") }

  public func serverVersion() async throws(ClickHouseError) -> ServerVersion {
    let text = try await queryText("SELECT version()").trimmed
    guard let version = ServerVersion(text) else {
      throw ClickHouseError(code: .malformedData, message: "the server says that its version is '\(text)'")
    }
    return version
  }

  /// Runs a statement and returns its answer's text, TabSeparated unless it names a format; for small answers.
  /// - Parameters:
  ///   - parameters: for `{name:Type}` places in the statement (20.1 and later); `nil` is NULL.
  ///   - settings: of this statement.
  /// - Throws: `limitExceeded` beyond `textLimitBytes`, and what the server or the way to it says.
  public func queryText(
    _ sql: String, parameters: KeyValuePairs<String, String?> = [:], settings: [(name: String, value: String)] = []
  ) async throws(ClickHouseError) -> String {
    // The answer comes when the statement is done: its status tells of every error.
    var pairs = [("wait_end_of_query", "1")] + answerSettings + parameters.map(Self.parameter)
    pairs += settings.map { ($0.name, $0.value) }
    let request = makeRequest(pairs, body: HTTPBody(sql), contentEncoding: nil, queryID: Self.makeQueryID())
    let limit = configuration.textLimitBytes
    let response = await send(request, tailLimitBytes: limit)
    switch ResponseClassifier.classify(response, expecting: .data) {
    case .success:
      guard response.bodyBytes <= limit else {
        throw ClickHouseError(code: .limitExceeded, message: "the answer is longer than \(limit) bytes")
      }
      return String(decoding: response.tail, as: UTF8.self)
    case .refused(let error), .foreign(let error), .neverSent(let error), .unknown(let error): throw error
    }
  }

  var answerSettings: [(String, String)] {
    configuration.compressesAnswers ? [("enable_http_compression", "1")] : []
  }

  /// Sends a request and waits for its end, which a cancelled task brings about.
  func send(
    _ request: HTTPRequest, tailLimitBytes: Int = ResponseClassifier.tailLimitBytes
  ) async -> HTTPResponse {
    let answer = OneAnswer()
    let transfer = CurlTransfer(request, startedAt: time.monotonic(), tailLimitBytes: tailLimitBytes) {
      answer.give($0)
    }
    return await withTaskCancellationHandler {
      start(transfer)
      return await answer.take()
    } onCancel: {
      cancel(transfer)
    }
  }

  func start(_ transfer: CurlTransfer) { loop.start(transfer) }
  func resume(_ transfer: CurlTransfer) { loop.resume(transfer) }
  func cancel(_ transfer: CurlTransfer) { loop.cancel(transfer) }

  func makeRequest(
    _ pairs: [(String, String)], body: HTTPBody, contentEncoding: String?, queryID: String, deadline: Duration? = nil
  ) -> HTTPRequest {
    var all = [("database", configuration.database), ("query_id", queryID)]
    all += configuration.settings.map { ($0.name, $0.value) }
    // Later ones win at the server, and a call's own must.
    all += pairs
    let query = "?" + all.map { "\(Self.percentEncoded($0.0))=\(Self.percentEncoded($0.1))" }.joined(separator: "&")
    // Names and keys go in headers only: URLs are logged by servers and by what lies between.
    var headers = [
      "X-ClickHouse-User: \(configuration.user)", "X-ClickHouse-Key: \(configuration.password.reveal())",
      "Content-Type: application/octet-stream",
    ]
    if let contentEncoding { headers.append("Content-Encoding: \(contentEncoding)") }
    return HTTPRequest(query: query, headers: headers, body: body, deadline: deadline ?? configuration.requestTimeout)
  }

  /// A parameter as the server reads it: the text of a value, escaped as in TabSeparated.
  static func parameter(_ name: String, _ value: String?) -> (String, String) {
    ("param_\(name)", value.map(escaped) ?? "\\N")
  }

  /// TabSeparated's escapes.
  static func escaped(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
      case "\t": result.append(contentsOf: "\\t".unicodeScalars)
      case "\n": result.append(contentsOf: "\\n".unicodeScalars)
      case "\r": result.append(contentsOf: "\\r".unicodeScalars)
      case "\0": result.append(contentsOf: "\\0".unicodeScalars)
      default: result.append(scalar)
      }
    }
    return String(result)
  }

  /// New for every attempt, so that `system.query_log` tells them apart.
  static func makeQueryID() -> String {
    let high = UInt64.random(in: 0 ... .max)
    let low = UInt64.random(in: 0 ... .max)
    func hex(_ value: UInt64) -> String {
      let digits = String(value, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }
    return "sinkctl-" + hex(high) + hex(low)
  }

  static func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var encoded: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
        UInt8(ascii: "~"):
        encoded.append(byte)
      default:
        encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: encoded, as: UTF8.self)
  }
}
