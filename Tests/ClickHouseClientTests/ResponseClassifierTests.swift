import Testing

@testable import ClickHouseClient

/// Every way in which an answer can speak of an error.
@Suite struct ResponseClassifierTests {
  private func classify(
    _ status: Int, _ body: String, _ headers: [String: String] = [:], way: HTTPResponse.Way = .complete
  ) -> ResponseClassifier.Verdict {
    var response = HTTPResponse()
    response.status = status
    response.tail = Array(body.utf8)
    response.headers = headers
    response.way = way
    return ResponseClassifier.classify(response)
  }

  private func refusal(_ verdict: ResponseClassifier.Verdict) -> Int? {
    if case .refused(let error) = verdict { error.serverCode } else { nil }
  }

  @Test func a200WithoutAnErrorIsSuccess() {
    guard case .success = classify(200, "") else {
      Issue.record("an empty 200 is what an insert answers")
      return
    }
    guard case .success = classify(200, "Code: of conduct\n1\t2\n") else {
      Issue.record("data, not an error")
      return
    }
  }

  @Test func theServersErrorsAreFoundWhereverTheyStand() {
    let text = "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)"
    #expect(refusal(classify(500, text, ["x-clickhouse-exception-code": "252"])) == 252)
    #expect(refusal(classify(200, "", ["x-clickhouse-exception-code": "241"])) == 241, "the header counts on a 200 too")
    #expect(refusal(classify(500, "Code: 60, e.displayText() = DB::Exception: no table, e.what() = x")) == 60)
    #expect(refusal(classify(200, "1\t2\n3\tCode: 241. DB::Exception: memory")) == 241, "after rows, old servers")
    let tagged =
      "1\t2\r\n__exception__\r\nABCDEFGHIJKLMNOP\r\nCode: 395. DB::Exception: stop\r\n30 ABCDEFGHIJKLMNOP\r\n__exception__\r\n"
    #expect(refusal(classify(200, tagged, ["x-clickhouse-exception-tag": "ABCDEFGHIJKLMNOP"])) == 395)
    #expect(refusal(classify(200, "Code: 241. DB::Exception: x", way: .broken("reset"))) == 241)
  }

  @Test func whatIsNotClickHouseIsNotTakenForIt() {
    guard case .foreign(let error) = classify(502, "<html>Bad Gateway</html>", ["content-type": "text/html"]) else {
      Issue.record("a proxy's page")
      return
    }
    #expect(error.code == .proxy && error.isRetriable && error.message.contains("502"))
  }

  @Test func sentAndNotSentAreToldApart() {
    guard case .neverSent = classify(0, "", way: .neverSent("refused")) else {
      Issue.record("never sent")
      return
    }
    guard case .unknown = classify(0, "", way: .broken("reset")) else {
      Issue.record("may have been sent")
      return
    }
    guard case .unknown = classify(0, "", way: .cancelled) else {
      Issue.record("cancelled is not rejected")
      return
    }
  }

  @Test func everyCodeStandsOnceWithAReason() {
    #expect(Set(ErrorCatalog.entries.map(\.code)).count == ErrorCatalog.entries.count)
    for entry in ErrorCatalog.entries { #expect(!entry.reason.isEmpty && !entry.name.isEmpty, "\(entry.code)") }
    #expect(ErrorCatalog.reaction(to: 252) == .retry)
    #expect(ErrorCatalog.reaction(to: 60) == .pauseAndAlarm)
    #expect(ErrorCatalog.reaction(to: 123_456) == .pauseAndAlarm, "an error that nobody has thought about costs no row")
  }
}

@Suite struct ServerAddressTests {
  @Test func urlsAreTakenApart() throws {
    #expect(try ServerAddress("https://ch.example").port == 8443)
    #expect(try ServerAddress("http://ch.example").port == 8123)
    #expect(try ServerAddress("http://[::1]:9/x/").base() == "http://[::1]:9/x/")
    #expect(try ServerAddress("https://10.0.0.1:8443").base(host: "ch.example") == "https://ch.example:8443/")
  }

  @Test(arguments: ["ch.example", "ftp://x", "http://", "http://u:p@x", "http://x:0", "http://x/?a=1"])
  func whatIsNoUrlOfAServerIsRefused(url: String) {
    let error = #expect(throws: ClickHouseError.self) { try ServerAddress(url) }
    #expect(error?.message.contains("u:p") != true, "a password is not repeated")
  }
}
