/// Scheme, host and port of a server's URL.
struct ServerAddress: Sendable, Equatable {
  let isHTTPS: Bool
  /// Without the brackets of an IPv6 address.
  let host: String
  let port: Int
  /// Before ClickHouse's own `/`, where a proxy serves it under a path; empty or without a slash at its end.
  let path: String

  init(_ url: String) throws(ClickHouseError) {
    func refuse(_ why: String) -> ClickHouseError {
      ClickHouseError(
        code: .configuration,
        message: "clickhouse.url '\(url)' \(why); give it as https://host:8443 or http://host:8123")
    }
    guard let separator = url.firstRange(of: "://") else { throw refuse("has no scheme") }
    switch url[..<separator.lowerBound] {
    case "https": isHTTPS = true
    case "http": isHTTPS = false
    default: throw refuse("has a scheme other than http and https")
    }
    let rest = url[separator.upperBound...]
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    let authority = rest[..<slash]
    var path = String(rest[slash...])
    while path.hasSuffix("/") { path.removeLast() }
    guard !path.contains(where: { $0 == "?" || $0 == "#" }), !authority.contains("?") else {
      throw refuse("has parameters; settings have a section of their own")
    }
    self.path = path
    guard !authority.contains("@") else {
      // The user's words are not repeated: they hold a password.
      throw ClickHouseError(
        code: .configuration,
        message:
          "clickhouse.url holds a user or password, which servers and proxies would log; use clickhouse.user and clickhouse.password"
      )
    }
    var host = authority
    var port = isHTTPS ? 8443 : 8123
    if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
      guard let number = Int(authority[authority.index(after: colon)...]), (1...65535).contains(number) else {
        throw refuse("has a port that is no number from 1 to 65535")
      }
      port = number
      host = authority[..<colon]
    }
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard !host.isEmpty, !host.contains(where: { $0.isWhitespace }) else { throw refuse("has no host") }
    self.host = String(host)
    self.port = port
  }

  /// A host as it stands in a URL.
  static func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }

  /// The URL up to the query, with another host where a certificate wants one.
  func base(host name: String? = nil) -> String {
    "\(isHTTPS ? "https" : "http")://\(Self.bracketed(name ?? host)):\(port)\(path)/"
  }
}
