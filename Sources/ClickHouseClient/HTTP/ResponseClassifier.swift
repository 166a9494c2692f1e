/// What an answer means: a pure function of status, headers and the end of the body.
///
/// ClickHouse speaks of errors in four ways: the status with `X-ClickHouse-Exception-Code`; that header on a 200 when
/// the error came before the body; text at the end of a 200's body, tagged since 25.11 and plain before; and a
/// connection that ends in the middle. What is none of these and no 200 comes from something in between.
enum ResponseClassifier {
  /// What a good answer holds. Data may hold the text of an error and be none.
  enum Expected {
    /// An insert's answer: an empty body.
    case nothing
    case data
  }

  enum Verdict: Sendable {
    case success
    /// ClickHouse said no.
    case refused(ClickHouseError)
    /// Something else answered: a proxy, a load balancer.
    case foreign(ClickHouseError)
    /// Nothing was sent.
    case neverSent(ClickHouseError)
    /// Something was sent, and no whole answer came.
    case unknown(ClickHouseError)
  }

  static let exceptionCodeHeader = "x-clickhouse-exception-code"
  static let exceptionTagHeader = "x-clickhouse-exception-tag"
  static let summaryHeader = "x-clickhouse-summary"
  /// So much of a body's end may hold an exception (16 KiB and its frame).
  static let tailLimitBytes = 20 << 10

  static func classify(_ response: HTTPResponse, expecting expected: Expected) -> Verdict {
    switch response.way {
    case .neverSent(let error): return .neverSent(error)
    case .broken(let error):
      // An exception may have come before the connection ended: the server closes it after one in mid-body.
      return exception(in: response, expected).map { .refused($0) } ?? .unknown(error)
    case .complete: break
    }
    if let error = exception(in: response, expected) { return .refused(error) }
    if response.status == 200, expected == .data || response.tail.isEmpty { return .success }
    return .foreign(foreignError(response))
  }

  /// The server's own error, wherever it put it.
  private static func exception(in response: HTTPResponse, _ expected: Expected) -> ClickHouseError? {
    let text = String(decoding: response.tail, as: UTF8.self)
    let tagged = response.headers[exceptionTagHeader].flatMap { taggedException(in: text, tag: $0) }
    if let header = response.headers[exceptionCodeHeader], let code = Int(header), code != 0 {
      return serverError(code, tagged ?? text)
    }
    if let tagged { return serverError(leadingCode(tagged[...]) ?? 0, tagged) }
    // Plain text of older servers. On a 200 it is looked for where no data can stand: whoever reads data knows where it
    // ends.
    return response.status != 200 || expected == .nothing ? plainException(text[...]) : nil
  }

  /// `__exception__ \r\n TAG \r\n message \r\n length TAG \r\n __exception__`, since 25.11. The tag is drawn for each
  /// answer, so that data cannot hold it.
  private static func taggedException(in text: String, tag: String) -> String? {
    guard let start = text.firstRange(of: "__exception__\r\n\(tag)\r\n") else { return nil }
    let rest = text[start.upperBound...]
    let end = rest.firstRange(of: "\r\n__exception__")?.lowerBound ?? rest.endIndex
    // The last line in between is the length and the tag.
    var lines = rest[..<end].split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    if lines.count > 1 { lines.removeLast() }
    return lines.joined(separator: "\n").trimmed
  }

  /// A text that is an exception from its beginning: `Code: 241. DB::Exception: …` (new), `Code: 241, e.displayText() =
  /// DB::Exception: …` (old).
  static func plainException(_ text: Substring) -> ClickHouseError? {
    guard let code = leadingCode(text), text.contains("DB::") || text.contains("Exception") else { return nil }
    return serverError(code, String(text))
  }

  private static func leadingCode(_ text: Substring) -> Int? {
    guard let start = text.firstRange(of: "Code: "), text[..<start.lowerBound].allSatisfy(\.isWhitespace) else {
      return nil
    }
    let digits = text[start.upperBound...].prefix { $0.isASCII && $0.isNumber }
    guard let next = text[digits.endIndex...].first, next == "." || next == "," else { return nil }
    return Int(digits)
  }

  private static func serverError(_ code: Int, _ text: String) -> ClickHouseError {
    let name = ErrorCatalog.entry(for: code).map { " (\($0.name))" } ?? ""
    let said = "ClickHouse says \(code)\(name): \(shortened(text))"
    let isRetriable = ErrorCatalog.reaction(to: code) == .retry && !ErrorCatalog.isOfTooManyPartitions(code, text)
    // What the server writes when the table has taken the block and something behind it has not.
    if text.contains("while pushing to view") || text.contains("Received from ") {
      return ClickHouseError(
        code: .partial,
        message: said + "; a part of the block may be stored, and once more at each attempt unless the table remembers "
          + "tokens (MergeTree: MODIFY SETTING non_replicated_deduplication_window = 10000): mend what is behind it",
        serverCode: code, isRetriable: isRetriable)
    }
    return ClickHouseError(code: .server, message: said, serverCode: code, isRetriable: isRetriable)
  }

  /// Gateways and limits of load pass; a redirect, a page on a 200 or a refusal stays until somebody changes something.
  private static func foreignError(_ response: HTTPResponse) -> ClickHouseError {
    let text = String(decoding: response.tail, as: UTF8.self)
    let kind = response.headers["content-type"].map { ", \($0)" } ?? ""
    let place = response.headers["location"].map { ", to \($0)" } ?? ""
    return ClickHouseError(
      code: .proxy,
      message: "HTTP \(response.status)\(kind)\(place) that is not ClickHouse's: something between us and the server "
        + "answered, or the URL is not ClickHouse's: \(shortened(text))",
      isRetriable: response.status >= 500 || [408, 425, 429].contains(response.status))
  }

  /// One line of at most 500 characters, without the version and the stack that older servers add. The end stays: it says
  /// where the error came from.
  static func shortened(_ text: String) -> String {
    let line = text.split(whereSeparator: \.isNewline).prefix(3).joined(separator: " ").trimmed
    return line.count > 500 ? line.prefix(300) + " … " + line.suffix(200) : line.isEmpty ? "(an empty body)" : line
  }
}

extension StringProtocol {
  /// Without white space at both ends.
  package var trimmed: String {
    var slice = self[...]
    while let first = slice.first, first.isWhitespace { slice.removeFirst() }
    while let last = slice.last, last.isWhitespace { slice.removeLast() }
    return String(slice)
  }
}
