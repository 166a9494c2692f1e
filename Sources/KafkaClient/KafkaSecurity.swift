public import SinkTelemetry

/// How to reach a broker, and as whom.
public struct KafkaSecurity: Sendable {
  /// Server verification is always on; what can be chosen is whom to trust and what to show.
  public struct TLS: Sendable {
    /// PEM file of the authorities to trust; nil means those of the system.
    public var caFile: String?
    /// PEM file of our certificate (chain), for mutual TLS; goes with `keyFile`.
    public var certificateFile: String?
    /// PEM file of its private key.
    public var keyFile: String?
    /// Where the private key is encrypted.
    public var keyPassword: Secret?

    public init(
      caFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil, keyPassword: Secret? = nil
    ) {
      self.caFile = caFile
      self.certificateFile = certificateFile
      self.keyFile = keyFile
      self.keyPassword = keyPassword
    }
  }

  /// SASL mechanisms with a user name and a password.
  public enum Mechanism: String, Sendable, CaseIterable {
    case plain = "PLAIN"
    /// Against Kafka 4.x this needs librdkafka 2.6.1 or later, see ``KafkaLibrary/scramNeedsNewerLibrary``.
    case scramSHA256 = "SCRAM-SHA-256"
    /// As `scramSHA256`; MSK's mechanism.
    case scramSHA512 = "SCRAM-SHA-512"
  }

  struct SASL: Sendable {
    let mechanism: Mechanism
    let username: String
    let password: Secret
  }

  /// nil: connections are not encrypted.
  public let tls: TLS?
  let sasl: SASL?

  /// Who we are in a broker's ACLs, by Kafka's own rules; nil where the broker makes a name of our certificate.
  public var principal: String? {
    if let sasl { return "User:\(sasl.username)" }
    return tls?.certificateFile == nil ? "User:ANONYMOUS" : nil
  }

  /// Neither encryption nor credentials.
  public static let plaintext = KafkaSecurity(tls: nil, sasl: nil)

  /// Encrypted; with a certificate and a key also our side is known (mutual TLS).
  public static func tls(
    caFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil, keyPassword: Secret? = nil
  ) -> KafkaSecurity {
    .tls(TLS(caFile: caFile, certificateFile: certificateFile, keyFile: keyFile, keyPassword: keyPassword))
  }

  public static func tls(_ tls: TLS) -> KafkaSecurity { KafkaSecurity(tls: tls, sasl: nil) }

  /// - Parameter tls: nil sends the credentials over an unencrypted connection: for tests and trusted wires.
  public static func sasl(
    mechanism: Mechanism, username: String, password: Secret, tls: TLS? = TLS()
  ) -> KafkaSecurity {
    KafkaSecurity(tls: tls, sasl: SASL(mechanism: mechanism, username: username, password: password))
  }
}
