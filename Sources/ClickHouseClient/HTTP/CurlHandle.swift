internal import CSinkCurl
internal import SinkTelemetry
internal import SinkThreads

/// Owns one easy handle and its list of headers for one transfer.
@safe final class CurlHandle {
  let native: UnsafeMutableRawPointer
  let transfer: CurlTransfer
  private let options: CurlOptions
  private var headers: UnsafeMutablePointer<curl_slist>?
  /// libcurl writes a failure's details here.
  private let details: UnsafeMutablePointer<CChar>

  /// - Throws: `configuration` where libcurl does not take an option, such as a TLS file it cannot use.
  init(_ transfer: CurlTransfer, _ options: CurlOptions) throws(ClickHouseError) {
    guard let handle = unsafe curl_easy_init() else {
      throw ClickHouseError(code: .transport, message: "libcurl has no memory for another request", isRetriable: true)
    }
    unsafe native = handle
    self.transfer = transfer
    self.options = options
    unsafe details = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
    unsafe details.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    for header in transfer.request.headers { unsafe headers = curl_slist_append(headers, header) }
    // Without it libcurl would wait a second for a 100 that ClickHouse may not send.
    unsafe headers = curl_slist_append(headers, "Expect:")
    try set(options)
  }

  deinit {
    unsafe curl_easy_cleanup(native)
    unsafe curl_slist_free_all(headers)
    unsafe details.deallocate()
  }

  /// The handle as libcurl's messages name it.
  var id: UInt { unsafe UInt(bitPattern: native) }

  private func set(_ options: CurlOptions) throws(ClickHouseError) {
    try set(CURLOPT_URL, options.url + transfer.request.query)
    // Never followed, never over anything but HTTP: an answer cannot send our password elsewhere.
    try set(CURLOPT_PROTOCOLS_STR, "http,https")
    try set(CURLOPT_FOLLOWLOCATION, 0)
    try set(CURLOPT_NOSIGNAL, 1)
    try set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
    try set(CURLOPT_TCP_KEEPALIVE, 1)
    try set(CURLOPT_TCP_NODELAY, 1)
    try set(CURLOPT_USERAGENT, options.userAgent)
    try set(CURLOPT_ACCEPT_ENCODING, "gzip")
    try set(CURLOPT_CONNECTTIMEOUT_MS, Int(options.connectTimeout.milliseconds))
    if let deadline = transfer.request.deadline { try set(CURLOPT_TIMEOUT_MS, Int(deadline.milliseconds)) }
    try set(CURLOPT_LOW_SPEED_LIMIT, 1)
    try set(CURLOPT_LOW_SPEED_TIME, max(1, Int(options.stallTimeout.seconds.rounded(.up))))
    try setWay(options)
    try setTLS(options.tls)
    try setBody()
  }

  private func setWay(_ options: CurlOptions) throws(ClickHouseError) {
    // The proxy's own answer to CONNECT is not ClickHouse's.
    try set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
    // An empty proxy overrules the environment's.
    try set(CURLOPT_PROXY, options.proxy ?? "")
    if options.proxy == nil { try set(CURLOPT_NOPROXY, "*") }
    // The URL carries the certificate's name; the connection goes to the configured host.
    if let connectTo = unsafe options.connectTo {
      try check("CURLOPT_CONNECT_TO", unsafe sink_curl_set_list(native, CURLOPT_CONNECT_TO, connectTo))
    }
  }

  private func setTLS(_ tls: ClickHouseConfiguration.TLS) throws(ClickHouseError) {
    try set(CURLOPT_SSL_VERIFYPEER, 1)
    try set(CURLOPT_SSL_VERIFYHOST, 2)
    try set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
    if let file = tls.caFile { try set(CURLOPT_CAINFO, file) }
    if let file = tls.certificateFile { try set(CURLOPT_SSLCERT, file) }
    if let file = tls.keyFile { try set(CURLOPT_SSLKEY, file) }
    if let password = tls.keyPassword { try set(CURLOPT_KEYPASSWD, password.reveal()) }
  }

  private func setBody() throws(ClickHouseError) {
    let context = unsafe Unmanaged.passUnretained(transfer).toOpaque()
    try set(CURLOPT_POST, 1)
    try check(
      "CURLOPT_POSTFIELDSIZE_LARGE",
      unsafe sink_curl_set_offset(native, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(transfer.request.body.count)))
    try check("CURLOPT_READFUNCTION", unsafe sink_curl_set_callback(native, CURLOPT_READFUNCTION, CurlCallbacks.read))
    try check("CURLOPT_READDATA", unsafe sink_curl_set_pointer(native, CURLOPT_READDATA, context))
    try check("CURLOPT_SEEKFUNCTION", unsafe sink_curl_set_seek(native, CurlCallbacks.seek))
    try check("CURLOPT_SEEKDATA", unsafe sink_curl_set_pointer(native, CURLOPT_SEEKDATA, context))
    try check(
      "CURLOPT_HEADERFUNCTION", unsafe sink_curl_set_callback(native, CURLOPT_HEADERFUNCTION, CurlCallbacks.header))
    try check("CURLOPT_HEADERDATA", unsafe sink_curl_set_pointer(native, CURLOPT_HEADERDATA, context))
    try check("CURLOPT_WRITEFUNCTION", unsafe sink_curl_set_callback(native, CURLOPT_WRITEFUNCTION, CurlCallbacks.body))
    try check("CURLOPT_WRITEDATA", unsafe sink_curl_set_pointer(native, CURLOPT_WRITEDATA, context))
    try check("CURLOPT_ERRORBUFFER", unsafe sink_curl_set_pointer(native, CURLOPT_ERRORBUFFER, details))
    try check("CURLOPT_HTTPHEADER", unsafe sink_curl_set_list(native, CURLOPT_HTTPHEADER, headers))
  }

  private func set(_ option: CURLoption, _ value: Int) throws(ClickHouseError) {
    try check("option \(option.rawValue)", unsafe sink_curl_set_long(native, option, value))
  }

  private func set(_ option: CURLoption, _ value: String) throws(ClickHouseError) {
    try check("option \(option.rawValue)", unsafe sink_curl_set_string(native, option, value))
  }

  private func check(_ what: String, _ status: CURLcode) throws(ClickHouseError) {
    guard status != CURLE_OK else { return }
    throw unsafe ClickHouseError(
      code: .configuration, message: "libcurl refuses \(what): \(String(cString: curl_easy_strerror(status)))")
  }

  /// Turns libcurl's result into ours. What matters is whether anything can have reached the server.
  func way(of result: CURLcode) -> HTTPResponse.Way {
    guard result != CURLE_OK else { return .complete }
    var (requestBytes, connectStatus) = (0, 0)
    unsafe sink_curl_get_long(native, CURLINFO_REQUEST_SIZE, &requestBytes)
    unsafe sink_curl_get_long(native, CURLINFO_HTTP_CONNECTCODE, &connectStatus)
    let noted = unsafe String(cString: details)
    let failure = CurlFailure(
      result: result.rawValue, words: noted.isEmpty ? unsafe String(cString: curl_easy_strerror(result)) : noted,
      connectStatus: connectStatus, address: options.address, tls: options.tls)
    // The size of the head counts as soon as it is written, a CONNECT's too; the body is ours to count.
    let hasSent = transfer.hasSent || (requestBytes > 0 && connectStatus == 0)
    return hasSent && !failure.isBeforeTheServer ? .broken(failure.error) : .neverSent(failure.error)
  }

  /// Lets a transfer go on whose answer was not taken for a while.
  func resume() { unsafe curl_easy_pause(native, CURLPAUSE_CONT) }
}

/// What all requests of a client have in common.
@safe final class CurlOptions {
  let address: ServerAddress
  let url: String
  let proxy: String?
  let tls: ClickHouseConfiguration.TLS
  let connectTimeout: Duration
  let stallTimeout: Duration
  let userAgent: String
  private(set) var connectTo: UnsafeMutablePointer<curl_slist>?

  init(_ configuration: ClickHouseConfiguration, _ address: ServerAddress) {
    self.address = address
    url = address.base(host: configuration.tls.serverName)
    proxy = configuration.proxy
    tls = configuration.tls
    connectTimeout = configuration.connectTimeout
    stallTimeout = configuration.stallTimeout
    userAgent = configuration.userAgent
    if let name = configuration.tls.serverName {
      let entry =
        "\(ServerAddress.bracketed(name)):\(address.port):\(ServerAddress.bracketed(address.host)):\(address.port)"
      unsafe connectTo = curl_slist_append(nil, entry)
    } else {
      unsafe connectTo = nil
    }
  }

  deinit { unsafe curl_slist_free_all(connectTo) }
}
