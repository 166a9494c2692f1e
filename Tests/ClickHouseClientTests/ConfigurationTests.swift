import ClickHouseClient
import SinkTelemetry
import Testing

@Suite struct ClickHouseConfigurationTests {
  private func problems(_ change: (inout ClickHouseConfiguration) -> Void) -> [String] {
    var configuration = ClickHouseConfiguration(url: "https://clickhouse.example:8443", password: "secret-word")
    change(&configuration)
    return configuration.validate()
  }

  @Test func whatCanWorkHasNoProblems() {
    let found = problems {
      $0.proxy = "http://proxy.example:3128"
      $0.compression = .zstd(level: 19)
      $0.tls.serverName = "abc.clickhouse.cloud"
    }
    #expect(found.isEmpty)
  }

  /// Each problem alone, by the word that its sentence must hold.
  @Test(arguments: [
    "url", "server_name", "key_file", "password", "user", "proxy", "zstd", "gzip", "in flight", "request timeout",
  ]) func whatCannotWorkIsNamed(word: String) {
    let found = problems {
      switch word {
      case "url": $0.url = "clickhouse.example"
      case "server_name":
        $0.url = "http://clickhouse.example"
        $0.tls.serverName = "x"
      case "key_file": $0.tls.keyFile = "/key.pem"
      case "password": $0.password = "secret-word\n"
      case "user": $0.user = "ada\r\nX-Evil: 1"
      case "proxy": $0.proxy = "http://ada:secret-word@proxy:3128"
      case "zstd": $0.compression = .zstd(level: 20)
      case "gzip": $0.compression = .gzip(level: 0)
      case "in flight": $0.requestsInFlight = 0
      default: $0.requestTimeout = .zero
      }
    }
    #expect(found.count == 1 && found[0].contains(word), "\(found)")
    #expect(!found.joined().contains("secret-word"), "secrets are not repeated")
    #expect(throws: ClickHouseError.self) {
      var configuration = ClickHouseConfiguration(url: "no url")
      configuration.user = "x"
      _ = try ClickHouseClient(configuration)
    }
  }
}
