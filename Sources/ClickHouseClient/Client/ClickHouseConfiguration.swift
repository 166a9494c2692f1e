public import SinkTelemetry

/// Where ClickHouse is and how to speak with it. Plain values; nothing is read from the environment, not even proxies.
public struct ClickHouseConfiguration: Sendable {
  public struct TLS: Sendable {
    /// PEM file of the authorities to trust; nil: the system's.
    public var caFile: String?
    /// PEM file of a client certificate, and of its key where that is another file.
    public var certificateFile: String?
    public var keyFile: String?
    public var keyPassword: Secret?
    /// The name that the server's certificate must carry, where the URL's host is another, such as a private
    /// endpoint's. Verification stays on; the connection goes to the URL's host.
    public var serverName: String?

    public init(
      caFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil, keyPassword: Secret? = nil,
      serverName: String? = nil
    ) {
      self.caFile = caFile
      self.certificateFile = certificateFile
      self.keyFile = keyFile
      self.keyPassword = keyPassword
      self.serverName = serverName
    }
  }

  /// `https://host:8443` or `http://host:8123`; user and password have fields of their own.
  public var url: String
  public var database: String
  public var user: String
  public var password: Secret
  public var tls: TLS
  /// `http://host:port` of an HTTP proxy; nil: none, whatever the environment says.
  public var proxy: String?
  /// How the body of an insert is compressed.
  public var compression: BlockCompression
  /// Lets the server compress the answers of queries with gzip: for slow networks.
  public var compressesAnswers: Bool
  /// Sent with every request, before those of the call.
  public var settings: [(name: String, value: String)]
  /// Until a connection stands, TLS included.
  public var connectTimeout: Duration
  /// From the request's first byte to the answer's last; not for `query`, whose reader may take its time.
  public var requestTimeout: Duration
  /// A transfer slower than a byte a second for so long has stalled. ClickHouse is silent while it works on an insert,
  /// so this is no shorter than the longest insert.
  public var stallTimeout: Duration
  /// Requests under way at once; further ones wait their turn.
  public var requestsInFlight: Int
  /// Requests that may wait their turn; one more is refused.
  public var requestsWaitingLimit: Int
  /// The most that an answer of `queryText` may hold.
  public var textLimitBytes: Int
  /// The most that one block of an answer of `query` may hold.
  public var blockLimitBytes: Int
  public var userAgent: String
  public var logger: Logger

  public init(
    url: String, database: String = "default", user: String = "default", password: Secret = "", tls: TLS = TLS()
  ) {
    self.url = url
    self.database = database
    self.user = user
    self.password = password
    self.tls = tls
    compression = .lz4
    compressesAnswers = false
    settings = []
    connectTimeout = .seconds(10)
    requestTimeout = .seconds(300)
    stallTimeout = .seconds(120)
    requestsInFlight = 4
    requestsWaitingLimit = 1024
    textLimitBytes = 64 << 20
    blockLimitBytes = 256 << 20
    userAgent = "sinkctl"
    logger = Logger(source: "ClickHouseClient")
  }

  /// What cannot work, in words that name the setting. Files are looked at by libcurl, when it connects.
  public func validate() -> [String] {
    var problems: [String] = []
    do throws(ClickHouseError) {
      let address = try ServerAddress(url)
      if tls.serverName != nil, !address.isHTTPS { problems.append("clickhouse.tls.server_name needs an https URL") }
    } catch {
      problems.append(error.message)
    }
    if tls.keyFile != nil, tls.certificateFile == nil {
      problems.append("clickhouse.tls.key_file is set without certificate_file")
    }
    for (name, text) in [("user", user), ("password", password.reveal()), ("user agent", userAgent)]
    where text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) {
      // It goes into a header, which ends with a line.
      problems.append("clickhouse.\(name) holds a control character, such as the line's end of a file")
    }
    if let proxy, !Self.isProxy(proxy) { problems.append("clickhouse.proxy must be http://host:port, without a user") }
    switch compression {
    case .zstd(let level) where !(1...19).contains(level), .zstdStream(let level) where !(1...19).contains(level):
      problems.append("clickhouse.compression: zstd has the levels 1 to 19, not \(level)")
    case .gzip(let level) where !(1...9).contains(level):
      problems.append("clickhouse.compression: gzip has the levels 1 to 9, not \(level)")
    default: break
    }
    if requestsInFlight < 1 { problems.append("requests in flight: at least 1, not \(requestsInFlight)") }
    for (name, timeout) in [("connect", connectTimeout), ("request", requestTimeout), ("stall", stallTimeout)]
    where timeout < .milliseconds(1) {
      problems.append("the \(name) timeout is \(timeout); at least a millisecond")
    }
    return problems
  }

  private static func isProxy(_ url: String) -> Bool {
    guard url.hasPrefix("http://"), !url.contains("@") else { return false }
    return (try? ServerAddress(url)) != nil
  }
}
