import Testing

@testable import ClickHouseClient

/// Every way in which an answer can speak of an error.
@Suite struct ResponseClassifierTests {
  private static let reset = ClickHouseError(code: .transport, message: "reset", isRetriable: true)

  func classify(
    _ status: Int, _ body: String, _ headers: [String: String] = [:], way: HTTPResponse.Way = .complete,
    expecting expected: ResponseClassifier.Expected = .nothing
  ) -> ResponseClassifier.Verdict {
    var response = HTTPResponse()
    response.status = status
    response.tail = Array(body.utf8)
    response.headers = headers
    response.way = way
    return ResponseClassifier.classify(response, expecting: expected)
  }

  private func refusal(_ verdict: ResponseClassifier.Verdict) -> Int? {
    if case .refused(let error) = verdict { error.serverCode } else { nil }
  }

  @Test func a200WithoutAnErrorIsSuccess() {
    guard case .success = classify(200, "") else {
      Issue.record("an empty 200 is what an insert answers")
      return
    }
  }

  /// A table may hold what servers say.
  @Test(arguments: [
    "Code: of conduct\n1\t2\n", "Code: 241. DB::Exception: of yesterday\n",
    "1\tCode: 60, e.displayText() = DB::Exception: told in a log\n", "\r\n__exception__\r\n",
  ]) func dataThatHoldsAnErrorsTextIsData(text: String) {
    guard case .success = classify(200, text, ["x-clickhouse-exception-tag": "abcdefghijklmnop"], expecting: .data)
    else {
      Issue.record("data, not an error")
      return
    }
  }

  @Test func anInsertThatIsAnsweredWithMoreThanNothingIsNotAccepted() {
    guard case .foreign(let error) = classify(200, "<html>Welcome to our network</html>") else {
      Issue.record("a page")
      return
    }
    #expect(error.code == .proxy && !error.isRetriable && error.reaction == .pauseAndAlarm)
  }

  @Test func theServersErrorsAreFoundWhereverTheyStand() {
    let text = "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)"
    #expect(refusal(classify(500, text, ["x-clickhouse-exception-code": "252"])) == 252)
    #expect(refusal(classify(200, "", ["x-clickhouse-exception-code": "241"])) == 241, "the header counts on a 200 too")
    #expect(refusal(classify(500, "Code: 60, e.displayText() = DB::Exception: no table, e.what() = x")) == 60)
    #expect(refusal(classify(200, "Code: 241. DB::Exception: memory")) == 241, "on a 200, old servers")
    let tagged =
      "1\t2\r\n__exception__\r\nABCDEFGHIJKLMNOP\r\nCode: 395. DB::Exception: stop\r\n30 ABCDEFGHIJKLMNOP\r\n__exception__\r\n"
    #expect(refusal(classify(200, tagged, ["x-clickhouse-exception-tag": "ABCDEFGHIJKLMNOP"])) == 395)
    #expect(refusal(classify(200, "Code: 241. DB::Exception: x", way: .broken(Self.reset))) == 241)
  }

  @Test func whatIsNotClickHouseIsNotTakenForIt() {
    guard case .foreign(let error) = classify(502, "<html>Bad Gateway</html>", ["content-type": "text/html"]) else {
      Issue.record("a proxy's page")
      return
    }
    #expect(error.code == .proxy && error.isRetriable && error.message.contains("502"))
  }

  @Test func sentAndNotSentAreToldApart() {
    guard case .neverSent = classify(0, "", way: .neverSent(Self.reset)) else {
      Issue.record("never sent")
      return
    }
    guard case .unknown = classify(0, "", way: .broken(Self.reset)) else {
      Issue.record("may have been sent")
      return
    }
  }

  @Test func whatLiesBetweenIsAnAlarmWhereOnlyAPersonCanMendIt() {
    for (status, isRetriable) in [
      (502, true), (503, true), (504, true), (429, true), (408, true), (301, false), (401, false), (403, false),
      (404, false), (407, false), (413, false),
    ] {
      guard case .foreign(let error) = classify(status, "<html></html>") else {
        Issue.record("\(status)")
        continue
      }
      #expect(error.isRetriable == isRetriable, "\(status)")
      #expect(error.reaction == (isRetriable ? .retry : .pauseAndAlarm), "\(status)")
    }
  }

  /// The table has its rows by then: cutting the block would store them twice.
  @Test(arguments: [
    "Code: 395. DB::Exception: no: while executing 'FUNCTION throwIf': while pushing to view default.mv (0b1c). (X)",
    "Code: 6, e.displayText() = DB::Exception: Cannot parse: while pushing to view default.mv, e.what() = DB::Exception",
    "Code: 321. DB::Exception: Received from shard-2:9000. DB::Exception: out of range. (X)",
  ]) func aFailureBehindTheTableIsPartial(text: String) {
    guard case .refused(let error) = classify(500, text) else {
      Issue.record("refused")
      return
    }
    #expect(error.code == .partial && error.reaction == .pauseAndAlarm && error.serverCode != nil)
  }

  @Test func aFailureBehindTheTableThatPassesIsTriedAgain() {
    guard case .refused(let error) = classify(500, "Code: 241. DB::Exception: memory: while pushing to view a.b") else {
      Issue.record("refused")
      return
    }
    #expect(error.code == .partial && error.reaction == .retry && error.isRetriable)
  }
}

extension ResponseClassifierTests {
  /// One code, two errors: merges mend the one, only smaller blocks the other.
  @Test func tooManyPartitionsAreNotTooManyParts() throws {
    let text = "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100). (TOO_MANY_PARTS)"
    for (words, reaction) in [
      (text, ErrorReaction.isolate), ("Code: 252. DB::Exception: Too many parts (300). (TOO_MANY_PARTS)", .retry),
      ("\(text): while pushing to view default.mv", .pauseAndAlarm),
    ] {
      guard case .refused(let error) = classify(500, words) else {
        Issue.record("refused: \(words)")
        continue
      }
      #expect(error.reaction == reaction && error.isRetriable == (reaction == .retry), "\(words)")
    }
  }
}

/// The table of errors, in a form that a reviewer compares with ClickHouse's `ErrorCodes.cpp` and the design.
@Suite struct ErrorCatalogTests {
  @Test func everyCodeStandsOnceWithAReason() {
    #expect(Set(ErrorCatalog.entries.map(\.code)).count == ErrorCatalog.entries.count)
    #expect(Set(ErrorCatalog.entries.map(\.name)).count == ErrorCatalog.entries.count)
    for entry in ErrorCatalog.entries {
      #expect(!entry.reason.isEmpty, "\(entry.code)")
      #expect(entry.name.allSatisfy { $0.isUppercase || $0.isNumber || $0 == "_" }, "\(entry.code)")
      // What is found in the data is found before anything is written; what a person must mend, too.
      if entry.reaction != .retry { #expect(entry.effect == .notStored, "\(entry.code)") }
    }
  }

  @Test func theDesignsCodesAreWhereItPutsThem() {
    for code in [202, 203, 209, 210, 241, 242, 252, 285, 319, 425, 439, 999] {
      #expect(ErrorCatalog.reaction(to: code) == .retry, "\(code)")
    }
    for code in [16, 47, 60, 81, 192, 193, 194, 195, 497, 516] {
      #expect(ErrorCatalog.reaction(to: code) == .pauseAndAlarm, "\(code)")
    }
    for code in [69, 70, 153, 321, 395, 407, 469] {
      #expect(ErrorCatalog.reaction(to: code) == .isolate, "\(code)")
    }
  }

  @Test func anErrorThatNobodyHasThoughtAboutCostsNoRow() {
    #expect(ErrorCatalog.reaction(to: 123_456) == .pauseAndAlarm)
    #expect(ErrorCatalog.effect(of: 123_456) == .open)
  }

  @Test func aServersErrorThatIsOpenIsNotTakenForARefusal() {
    for code in [159, 209, 236, 241, 252, 319, 394, 999, 1002] {
      #expect(ErrorCatalog.effect(of: code) == .open, "\(code)")
    }
    for code in [202, 33, 40, 60, 469] { #expect(ErrorCatalog.effect(of: code) == .notStored, "\(code)") }
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
