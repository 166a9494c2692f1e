internal import ClickHouseClient
internal import KafkaClient
internal import Pipeline
internal import SinkTelemetry

/// Looks at the PEM files that a configuration names, before a server does: readable, valid today and for some time yet,
/// key and certificate a pair.
struct CertificateCheck {
  struct Note: Equatable {
    /// As the file spells it: `kafka.security.key_file`.
    let setting: String
    let message: String
    /// It works today.
    var isWarning = false
  }

  /// So long before its end it is said that a certificate must be renewed, or a third of its life where that is shorter:
  /// some live for a day, and are renewed each day.
  private static let noticeSeconds: Int64 = 14 * 86_400

  /// Seconds since 1970, UTC.
  let now: Int64

  func notes(_ configuration: SinkctlConfiguration) -> [Note] {
    var notes: [Note] = []
    if let tls = configuration.pipeline.kafka.security.tls {
      notes += check(
        "kafka.security", authorities: tls.caFile, certificate: tls.certificateFile, key: tls.keyFile, tls.keyPassword)
    }
    let tls = configuration.pipeline.clickhouse.tls
    // libcurl looks for the key beside the certificate where no file is named.
    return notes
      + check(
        "clickhouse.tls", authorities: tls.caFile, certificate: tls.certificateFile,
        key: tls.keyFile ?? tls.certificateFile, tls.keyPassword)
  }

  private func check(
    _ section: String, authorities: String?, certificate: String?, key: String?, _ password: Secret?
  ) -> [Note] {
    var notes: [Note] = []
    if let authorities { notes += checkAuthorities("\(section).ca_file", PEMFile(path: authorities)) }
    guard let certificate else { return notes }
    notes += checkCertificate("\(section).certificate_file", PEMFile(path: certificate))
    if let key { notes += checkKey(section, PEMFile(path: key), of: PEMFile(path: certificate), password) }
    return notes
  }

  /// One that is valid is enough: bundles hold old ones.
  private func checkAuthorities(_ setting: String, _ file: PEMFile) -> [Note] {
    do throws(PEMFile.Unreadable) {
      let judged = try file.certificates().map { judge($0, setting, file) }
      guard !judged.contains(nil) else { return [] }
      let notes = judged.compactMap { $0 }
      let valid = notes.filter(\.isWarning)
      return valid.isEmpty ? notes : valid
    } catch {
      return [Note(setting: setting, message: "\(file.path) holds no certificate that can be read: \(error.reason)")]
    }
  }

  private func checkCertificate(_ setting: String, _ file: PEMFile) -> [Note] {
    do throws(PEMFile.Unreadable) {
      return try file.certificates().compactMap { judge($0, setting, file) }
    } catch {
      return [Note(setting: setting, message: "\(file.path) holds no certificate that can be read: \(error.reason)")]
    }
  }

  private func judge(_ certificate: PEMFile.Certificate, _ setting: String, _ file: PEMFile) -> Note? {
    let name = "the certificate of \(certificate.subject) in \(file.path)"
    func date(_ seconds: Int64) -> String { String(Timestamp.text(seconds * 1_000_000_000).prefix(19)) + "Z" }
    if now < certificate.notBefore {
      return Note(
        setting: setting,
        message: "\(name) is not valid before \(date(certificate.notBefore)): look at it, and at this machine's clock")
    }
    if now >= certificate.notAfter {
      return Note(setting: setting, message: "\(name) has expired at \(date(certificate.notAfter)): renew it")
    }
    let left = certificate.notAfter - now
    guard left < min(Self.noticeSeconds, (certificate.notAfter - certificate.notBefore) / 3) else { return nil }
    let time = left < 2 * 86_400 ? "\(left / 3600) hours" : "\(left / 86_400) days"
    return Note(
      setting: setting, message: "\(name) expires at \(date(certificate.notAfter)), in \(time): renew it in time",
      isWarning: true)
  }

  private func checkKey(_ section: String, _ file: PEMFile, of certificates: PEMFile, _ password: Secret?) -> [Note] {
    let setting = "\(section).\(file.path == certificates.path ? "certificate_file" : "key_file")"
    do throws(PEMFile.KeyProblem) {
      try file.checkKey(of: certificates, password: password?.reveal())
      return []
    } catch {
      let words =
        switch error {
        case .unreadable(let reason): "\(file.path) holds no private key that can be read: \(reason)"
        case .needsPassword:
          "the key in \(file.path) is encrypted: give \(section).key_password or \(section).key_password_file"
        case .wrongPassword(let reason): "\(section).key_password does not open the key in \(file.path): \(reason)"
        case .belongsToAnother:
          "the key in \(file.path) does not belong to the certificate in \(certificates.path)"
        }
      return [Note(setting: setting, message: words)]
    }
  }
}
