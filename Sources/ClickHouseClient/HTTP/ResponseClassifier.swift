/// What an answer means: a pure function of status, headers and the end of the body.
///
/// ClickHouse speaks of errors in four ways: the status with `X-ClickHouse-Exception-Code`; that header on a 200 when the
/// error came before the body; text at the end of a 200's body, tagged since 25.11 and plain before; and a connection
/// that ends in the middle. What is none of these and no 200 comes from something in between.
enum ResponseClassifier {
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

  static func classify(_ response: HTTPResponse) -> Verdict {
    switch response.way {
    case .neverSent(let words):
      return .neverSent(ClickHouseError(code: .transport, message: words, isRetriable: true))
    case .cancelled:
      return .unknown(ClickHouseError(code: .cancelled, message: "the request was cancelled", isRetriable: true))
    case .broken(let words):
      // An exception may have come before the connection ended: the server closes it after one in mid-body.
      if let error = exception(in: response) { return .refused(error) }
      return .unknown(ClickHouseError(code: .transport, message: words, isRetriable: true))
    case .complete: break
    }
    if let error = exception(in: response) { return .refused(error) }
    if response.status == 200 { return .success }
    return .foreign(foreignError(response))
  }

  /// The server's own error, wherever it put it.
  private static func exception(in response: HTTPResponse) -> ClickHouseError? {
    let text = String(decoding: response.tail, as: UTF8.self)
    let tagged = response.headers[exceptionTagHeader].flatMap { taggedException(in: text, tag: $0) }
    if let header = response.headers[exceptionCodeHeader], let code = Int(header) {
      return serverError(code, tagged ?? text)
    }
    if let tagged { return serverError(leadingCode(tagged) ?? 0, tagged) }
    // Plain text of older servers: at the start of an error's body, or of the last line of a 200 that broke off.
    if response.status != 200, let code = leadingCode(text) { return serverError(code, text) }
    if response.status == 200, let plain = plainException(atEndOf: text), let code = leadingCode(plain) {
      return serverError(code, plain)
    }
    return nil
  }

  /// `__exception__ \r\n TAG \r\n message \r\n length TAG \r\n __exception__`, since 25.11.
  private static func taggedException(in text: String, tag: String) -> String? {
    guard let start = text.range(of: "__exception__\r\n\(tag)\r\n") else { return nil }
    let rest = text[start.upperBound...]
    let end = rest.range(of: "\r\n__exception__")?.lowerBound ?? rest.endIndex
    // The last line in between is the length and the tag.
    var lines = rest[..<end].split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    if lines.count > 1 { lines.removeLast() }
    return lines.joined(separator: "\n").trimmed
  }

  /// `Code: 241. DB::Exception: …` (new) and `Code: 241, e.displayText() = DB::Exception: …` (old) after rows.
  private static func plainException(atEndOf text: String) -> String? {
    var found: String?
    var search = text[...]
    while let start = search.range(of: "Code: ") {
      let candidate = search[start.lowerBound...]
      if leadingCode(String(candidate)) != nil, candidate.contains("DB::Exception") {
        found = String(candidate)
        break
      }
      search = search[start.upperBound...]
    }
    return found
  }

  private static func leadingCode(_ text: String) -> Int? {
    guard let start = text.range(of: "Code: "), text[..<start.lowerBound].allSatisfy(\.isWhitespace) else { return nil }
    let digits = text[start.upperBound...].prefix { $0.isASCII && $0.isNumber }
    guard let next = text[digits.endIndex...].first, next == "." || next == "," else { return nil }
    return Int(digits)
  }

  private static func serverError(_ code: Int, _ text: String) -> ClickHouseError {
    let name = ErrorCatalog.entry(for: code).map { " (\($0.name))" } ?? ""
    return ClickHouseError(
      code: .server, message: "ClickHouse says \(code)\(name): \(shortened(text))", serverCode: code,
      isRetriable: ErrorCatalog.reaction(to: code) == .retry)
  }

  private static func foreignError(_ response: HTTPResponse) -> ClickHouseError {
    let text = String(decoding: response.tail, as: UTF8.self)
    let kind = response.headers["content-type"].map { ", \($0)" } ?? ""
    return ClickHouseError(
      code: .proxy,
      message: "HTTP \(response.status)\(kind) without a ClickHouse error: something between us and the server "
        + "answered, or the URL is not ClickHouse's: \(shortened(text))", isRetriable: true)
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

  /// The first place of a text, without Foundation.
  func range(of text: String) -> Range<Index>? { firstRange(of: text) }
}
