internal import CSinkCurl

/// What libcurl's failures mean: a pure function of its result and what it noted on the way.
///
/// Most of them are the way's, and pass by themselves. Those of certificates and files do not: they are told apart, so
/// that somebody is called, and their words name the file or host and what to do.
struct CurlFailure {
  let result: UInt32
  /// What libcurl or OpenSSL said of the failure, from `CURLOPT_ERRORBUFFER`; libcurl's general words where it said
  /// nothing.
  let words: String
  /// The status with which a proxy answered `CONNECT`; 0 without one.
  let connectStatus: Int
  let address: ServerAddress
  let tls: ClickHouseConfiguration.TLS

  /// Whether it is one of TLS or of configuration: nothing of a request has reached ClickHouse then, whatever was
  /// written. A server that refuses a client's certificate may say so after TLS 1.3 let us write, but it acts on
  /// nothing.
  var isBeforeTheServer: Bool { error.code == .tls || error.code == .configuration || isRefusedTunnel }

  var error: ClickHouseError {
    let place = "\(ServerAddress.bracketed(address.host)):\(address.port)"
    let told = "\(words) (libcurl \(result))"
    switch CURLcode(rawValue: result) {
    case CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CRL_BADFILE, CURLE_SSL_ISSUER_ERROR:
      return failure(
        "the CA file \(tls.caFile ?? "of this system") cannot be used: \(told); clickhouse.tls.ca_file must name a PEM file that this user may read"
      )
    case CURLE_SSL_CERTPROBLEM:
      let files = [tls.certificateFile, tls.keyFile].compactMap { $0 }.joined(separator: " with the key ")
      return failure(
        "the client certificate \(files) cannot be used: \(told); clickhouse.tls.certificate_file and key_file must name PEM files that this user may read and that belong together"
      )
    case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_PINNEDPUBKEYNOTMATCH:
      return failure("the certificate of \(place) is refused: \(told); \(verificationAdvice)")
    case CURLE_SSL_CLIENTCERT: return failure("\(place) wants a client certificate: \(told); \(clientAdvice)")
    case CURLE_SSL_CIPHER, CURLE_SSL_ENGINE_NOTFOUND, CURLE_SSL_ENGINE_SETFAILED, CURLE_SSL_ENGINE_INITFAILED,
      CURLE_USE_SSL_FAILED:
      return failure("TLS with \(place) cannot work: \(told)")
    case CURLE_SSL_CONNECT_ERROR
    where words.contains("wrong version number") || words.contains("packet length too long"):
      return failure("\(place) does not speak TLS: \(told); clickhouse.url wants http:// or another port")
    case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_NOT_BUILT_IN, CURLE_UNKNOWN_OPTION,
      CURLE_BAD_FUNCTION_ARGUMENT, CURLE_SETOPT_OPTION_SYNTAX:
      return ClickHouseError(code: .configuration, message: "clickhouse.url or proxy cannot be used: \(told)")
    default: break
    }
    if address.isHTTPS, isAlertAboutOurCertificate {
      return failure("\(place) refuses our client certificate, or the lack of one: \(told); \(clientAdvice)")
    }
    if isRefusedTunnel {
      return ClickHouseError(
        code: .proxy, message: "the proxy refuses to connect to \(place) (HTTP \(connectStatus)): \(told)",
        isRetriable: connectStatus >= 500)
    }
    return ClickHouseError(code: .transport, message: "\(place): \(told)", isRetriable: true)
  }

  private var isRefusedTunnel: Bool { connectStatus >= 300 }

  /// OpenSSL names the alert that the server sent; those about a certificate end a handshake.
  private var isAlertAboutOurCertificate: Bool {
    words.contains("alert")
      && (words.contains("certificate") || words.contains("unknown ca") || words.contains("handshake failure"))
  }

  private var verificationAdvice: String {
    if words.contains("expired") { return "it must be renewed there; is this machine's clock right?" }
    if words.contains("subject name") || words.contains("does not match") || words.contains("hostname mismatch") {
      return
        "where the URL's host is a private endpoint's, clickhouse.tls.server_name names what the certificate carries"
    }
    return tls.caFile.map { "its authority is not in the CA file \($0)" }
      ?? "clickhouse.tls.ca_file must name the PEM file of its authority"
  }

  private var clientAdvice: String {
    tls.certificateFile.map { "the server does not trust the one in \($0), or it has expired" }
      ?? "clickhouse.tls.certificate_file and key_file must name one that the server trusts"
  }

  private func failure(_ message: String) -> ClickHouseError { ClickHouseError(code: .tls, message: message) }
}
