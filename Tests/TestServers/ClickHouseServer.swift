public import Foundation

/// Debian's clickhouse-server (18.16), on loopback, in a directory of its own; it ends, and the directory goes, with
/// the last reference. User `default` has no password; `ada` has `secret`. `reader` may not write,
/// `fixed` may not even change a setting, and `elsewhere` sees the database `other` alone; they have no password.
public final class ClickHouseServer: Sendable {
  /// What it shows over HTTPS, and what it asks of clients.
  public struct TLS: Sendable {
    public var certificate: String
    public var key: String
    /// With it, clients must show a certificate of this authority.
    public var clientAuthority: String?

    public init(certificate: String, key: String, clientAuthority: String? = nil) {
      self.certificate = certificate
      self.key = key
      self.clientAuthority = clientAuthority
    }
  }

  public let url: String
  private let port: Int
  /// Of its HTTPS port, where it has one.
  public let tlsPort: Int
  public let directory: URL
  private let server: ChildServer

  /// The program, if it is installed.
  public static let program: String? = ["/usr/sbin/clickhouse-server", "/usr/bin/clickhouse-server"].first {
    FileManager.default.isExecutableFile(atPath: $0)
  }

  public static func start(_ tls: TLS? = nil) async throws -> ClickHouseServer {
    let server = try ClickHouseServer(tls)
    do {
      try await FreePorts.waitUntilOpen(server.port)
      if tls != nil { try await FreePorts.waitUntilOpen(server.tlsPort) }
    } catch {
      throw ServerProblem(message: "clickhouse-server does not come up: \(server.server.output)")
    }
    return server
  }

  private init(_ tls: TLS?) throws {
    guard let program = Self.program else { throw ServerProblem(message: "there is no clickhouse-server here") }
    directory = FileManager.default.temporaryDirectory.appending(path: "sinkctl-clickhouse-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let ports = try FreePorts.pick(2)
    port = ports[0]
    url = "http://127.0.0.1:\(port)"
    tlsPort = ports[1]
    let configuration = directory.appending(path: "config.xml")
    try Self.configuration(directory, ports, tls).write(to: configuration, atomically: true, encoding: .utf8)
    try Self.users.write(to: directory.appending(path: "users.xml"), atomically: true, encoding: .utf8)
    server = try ChildServer([program, "--config-file=\(configuration.path)"])
  }

  deinit { stop() }

  public func stop() {
    server.stop()
    try? FileManager.default.removeItem(at: directory)
  }

  private static func configuration(_ directory: URL, _ ports: [Int], _ tls: TLS?) -> String {
    let secure = tls.map {
      """
        <https_port>\(ports[1])</https_port>
        <openSSL><server>
          <certificateFile>\($0.certificate)</certificateFile>
          <privateKeyFile>\($0.key)</privateKeyFile>
          <verificationMode>\($0.clientAuthority == nil ? "none" : "strict")</verificationMode>
          \($0.clientAuthority.map { "<caConfig>\($0)</caConfig>" } ?? "")
          <loadDefaultCAFile>false</loadDefaultCAFile>
          <disableProtocols>sslv2,sslv3</disableProtocols>
        </server></openSSL>
      """
    }
    return """
      <yandex>
        <logger><level>warning</level><console>1</console></logger>
        <http_port>\(ports[0])</http_port>
        \(secure ?? "")
        <listen_host>127.0.0.1</listen_host>
        <path>\(directory.path)/data/</path>
        <tmp_path>\(directory.path)/tmp/</tmp_path>
        <users_config>users.xml</users_config>
        <default_profile>default</default_profile>
        <default_database>default</default_database>
        <timezone>UTC</timezone>
        <mark_cache_size>5368709</mark_cache_size>
        <keep_alive_timeout>3</keep_alive_timeout>
        <query_log>
          <database>system</database><table>query_log</table><flush_interval_milliseconds>100</flush_interval_milliseconds>
        </query_log>
      </yandex>
      """
  }

  private static let users = """
    <yandex>
      <profiles><default>
        <max_memory_usage>2000000000</max_memory_usage>
        <allow_experimental_low_cardinality_type>1</allow_experimental_low_cardinality_type>
      </default><reads><readonly>2</readonly></reads><fixed><readonly>1</readonly></fixed></profiles>
      <users>
        <default>
          <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
        </default>
        <ada>
          <password>secret</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
        </ada>
        <reader>
          <password></password><networks><ip>127.0.0.1</ip></networks><profile>reads</profile><quota>default</quota>
        </reader>
        <fixed>
          <password></password><networks><ip>127.0.0.1</ip></networks><profile>fixed</profile><quota>default</quota>
        </fixed>
        <elsewhere>
          <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
          <allow_databases><database>other</database></allow_databases>
        </elsewhere>
      </users>
      <quotas><default></default></quotas>
    </yandex>
    """
}
