import Testing

@testable import ClickHouseClient

/// Failures of the way in libcurl's and OpenSSL's own words (7.88 and 3.0): which pass by themselves, and which do not.
@Suite struct CurlFailureTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let result: UInt32
    let words: String
    let code: ClickHouseError.Code
    let isRetriable: Bool
    var connectStatus = 0
    var testDescription: String { "\(result) \(words)" }
  }

  static let cases = [
    Case(result: 6, words: "Could not resolve host: ch.example", code: .transport, isRetriable: true),
    Case(
      result: 7, words: "Failed to connect to ch.example port 8443: Connection refused", code: .transport,
      isRetriable: true),
    Case(result: 28, words: "Operation timed out after 300 milliseconds", code: .transport, isRetriable: true),
    Case(
      result: 35, words: "OpenSSL SSL_connect: Connection reset by peer in connection", code: .transport,
      isRetriable: true),
    Case(result: 35, words: "error:0A00010B:SSL routines::wrong version number", code: .tls, isRetriable: false),
    Case(result: 52, words: "Empty reply from server", code: .transport, isRetriable: true),
    Case(result: 55, words: "Send failure: Broken pipe", code: .transport, isRetriable: true),
    Case(result: 56, words: "Recv failure: Connection reset by peer", code: .transport, isRetriable: true),
    Case(
      result: 56, words: "OpenSSL SSL_read: error:0A00045C:SSL routines::tlsv13 alert certificate required, errno 0",
      code: .tls, isRetriable: false),
    Case(result: 35, words: "error:0A000418:SSL routines::tlsv1 alert unknown ca", code: .tls, isRetriable: false),
    Case(
      result: 56, words: "CONNECT tunnel failed, response 407", code: .proxy, isRetriable: false, connectStatus: 407),
    Case(result: 56, words: "CONNECT tunnel failed, response 503", code: .proxy, isRetriable: true, connectStatus: 503),
    Case(result: 58, words: "could not load PEM client certificate", code: .tls, isRetriable: false),
    Case(result: 60, words: "SSL certificate problem: certificate has expired", code: .tls, isRetriable: false),
    Case(result: 65, words: "necessary data rewind wasn't possible", code: .transport, isRetriable: true),
    Case(result: 77, words: "error setting certificate file: /ca.pem", code: .tls, isRetriable: false),
    Case(result: 3, words: "URL using bad/illegal format or missing URL", code: .configuration, isRetriable: false),
  ]

  @Test(arguments: cases) func isClassed(_ failure: Case) throws {
    let told = CurlFailure(
      result: failure.result, words: failure.words, connectStatus: failure.connectStatus,
      address: try ServerAddress("https://ch.example:8443"), tls: .init(caFile: "/ca.pem"))
    let error = told.error
    #expect(error.code == failure.code && error.isRetriable == failure.isRetriable, "\(error)")
    #expect(error.reaction == (failure.isRetriable ? .retry : .pauseAndAlarm))
    #expect(error.message.contains(failure.words), "libcurl's own words are kept")
    // Only what ended before ClickHouse was spoken with may be called unsent.
    #expect(told.isBeforeTheServer == (error.code != .transport))
  }
}
