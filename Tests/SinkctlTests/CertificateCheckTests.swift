import Foundation
import Glibc
import TestServers
import Testing

@testable import sinkctl

/// What is said of PEM files, with certificates that openssl has just made; they live for two days.
@Suite struct CertificateCheckTests {
  private let directory: TemporaryDirectory
  private let certificates: TestCertificates

  init() throws {
    directory = try TemporaryDirectory()
    certificates = try TestCertificates(in: directory.url.appending(path: "certificates"))
  }

  private func text(kafka: [String] = [], clickhouse: [String] = []) -> String {
    let security = ["protocol: tls"] + kafka
    return """
      kafka:
        brokers: [localhost:9093]
        group: g
        security:
          \(security.joined(separator: "\n    "))
      clickhouse:
        url: https://localhost:8443
      \(clickhouse.isEmpty ? "" : "  tls:\n    \(clickhouse.joined(separator: "\n    "))")
      routes: [{topic: t, table: t}]
      """
  }

  private func notes(
    kafka: [String] = [], clickhouse: [String] = [], days: Double = 0
  ) throws -> [CertificateCheck.Note] {
    let reader = ConfigurationReader(environment: .system)
    let configuration = try reader.read(text(kafka: kafka, clickhouse: clickhouse), file: "t.yaml").get()
    let now = Int64(Date().timeIntervalSince1970 + days * 86_400)
    return CertificateCheck(now: now).notes(configuration)
  }

  /// One note, of this setting, with these words.
  private func expect(
    _ notes: [CertificateCheck.Note], _ setting: String, _ words: String..., isWarning: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(notes.map(\.setting) == [setting], "\(notes)", sourceLocation: sourceLocation)
    guard let note = notes.first else { return }
    #expect(note.isWarning == isWarning, "\(note)", sourceLocation: sourceLocation)
    for word in words { #expect(note.message.contains(word), "\(note)", sourceLocation: sourceLocation) }
  }

  private func pair(_ certificate: String, _ key: String, _ more: String...) -> [String] {
    ["certificate_file: \(certificate)", "key_file: \(key)"] + more
  }

  @Test func whatFitsIsNotMentioned() throws {
    let good = pair(certificates.clientCertificate, certificates.clientKey, "ca_file: \(certificates.authority)")
    #expect(try notes(kafka: good, clickhouse: good) == [])
    let password = "key_password: \(TestCertificates.keyPassword)"
    let encrypted = pair(certificates.clientCertificate, certificates.clientEncryptedKey, password)
    #expect(try notes(kafka: encrypted, clickhouse: encrypted) == [])
    // Key and certificates in one file.
    #expect(try notes(clickhouse: ["certificate_file: \(certificates.serverStore)"]) == [])
    #expect(try notes() == [])
  }

  @Test func timeIsLookedAt() throws {
    let good = pair(certificates.clientCertificate, certificates.clientKey)
    expect(try notes(kafka: good, days: -10), "kafka.security.certificate_file", "/CN=client", "is not valid before")
    expect(
      try notes(kafka: good, days: 1.9), "kafka.security.certificate_file", "expires at 20", "Z, in 2 hours",
      isWarning: true)
    expect(
      try notes(clickhouse: good, days: 3), "clickhouse.tls.certificate_file", certificates.clientCertificate,
      "has expired at 20")
    let old = pair(certificates.expiredCertificate, certificates.expiredKey)
    expect(try notes(kafka: old), "kafka.security.certificate_file", "/CN=expired", "renew it")
  }

  @Test func keysAreTried() throws {
    let setting = "kafka.security.key_file"
    expect(
      try notes(kafka: pair(certificates.clientCertificate, certificates.serverKey)), setting, certificates.serverKey,
      "does not belong to the certificate in \(certificates.clientCertificate)")
    expect(
      try notes(kafka: pair(certificates.clientCertificate, certificates.clientEncryptedKey)), setting, "is encrypted",
      "kafka.security.key_password")
    let wrong = try notes(
      clickhouse: pair(certificates.clientCertificate, certificates.clientEncryptedKey, "key_password: hunter2"))
    expect(wrong, "clickhouse.tls.key_file", "clickhouse.tls.key_password does not open the key")
    #expect(!"\(wrong)".contains("hunter2"))
    expect(
      try notes(kafka: pair(certificates.clientCertificate, certificates.authority)), setting,
      "holds no private key that can be read")
  }

  @Test func filesAreRead() throws {
    expect(
      try notes(kafka: pair(certificates.clientKey, certificates.clientKey)), "kafka.security.certificate_file",
      "holds no certificate that can be read")
    let damaged = directory.url.appending(path: "damaged.pem")
    let lines = try String(contentsOfFile: certificates.clientCertificate, encoding: .utf8).split(separator: "\n")
    try (lines[..<3] + lines[4...]).joined(separator: "\n").write(to: damaged, atomically: true, encoding: .utf8)
    expect(
      try notes(clickhouse: ["ca_file: \(damaged.path)"]), "clickhouse.tls.ca_file", damaged.path,
      "holds no certificate that can be read")
    // A bundle is as good as the best in it.
    let bundle = directory.url.appending(path: "bundle.pem")
    try [certificates.expiredCertificate, certificates.authority]
      .map { try String(contentsOfFile: $0, encoding: .utf8) }.joined()
      .write(to: bundle, atomically: true, encoding: .utf8)
    #expect(try notes(kafka: ["ca_file: \(bundle.path)"]) == [])
    expect(try notes(kafka: ["ca_file: \(certificates.expiredCertificate)"]), "kafka.security.ca_file", "has expired")
  }

  /// The programs: `check` names the line and exits with 1, `run` says it and goes on.
  @Test func checkAndRunSayIt() async throws {
    let text = text(
      kafka: pair(certificates.clientCertificate, certificates.serverKey),
      clickhouse: ["ca_file: \(certificates.expiredCertificate)"])
    let file = try directory.write("sinkctl.yaml", text)
    let check = try await SinkctlProcess.run(["check", "--offline", "--config", file])
    #expect(check.code == 1, "\(check)")
    for (place, words) in [("key_file:", "does not belong"), ("ca_file:", "has expired")] {
      let line = try #require(text.split(separator: "\n").firstIndex { $0.contains(place) })
      #expect(
        check.out.split(separator: "\n").contains { $0.hasPrefix("\(file):\(line + 1):") && $0.contains(words) },
        "\(check.out)")
    }
    let plain = text.replacing("protocol: tls", with: "protocol: plaintext").split(separator: "\n")
      .filter { !$0.contains("certificate_file") && !$0.contains("key_file") }.joined(separator: "\n")
    let run = try SinkctlProcess(["run", "--config", directory.write("run.yaml", plain)])
    try await run.wait("a word on the certificate") { run.error.contains("has expired") }
    #expect(run.error.contains("setting=clickhouse.tls.ca_file"), "\(run.error)")
    run.send(SIGTERM)
    _ = try await run.end()
  }
}
