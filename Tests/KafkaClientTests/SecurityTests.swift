import Foundation
import KafkaClient
import SinkTelemetry
import TestServers
import Testing

extension RealKafkaTests {
  @Suite(.serialized) struct SecurityTests {
    private let certificates: TestCertificates

    init() throws { certificates = try #require(SecuredKafka.certificates, "openssl made no certificates") }

    /// What a question over this listener ends with, within 15 s.
    private func ask(
      _ version: String, _ listener: KafkaBroker.Listener, _ security: KafkaSecurity
    ) async throws -> KafkaError? {
      let broker = try RealKafka.broker(version)
      let admin = try KafkaAdmin(brokers: [broker.address(listener)], security: security)
      do throws(KafkaError) {
        let cluster = try await admin.metadata(within: .patience)
        #expect(cluster.brokers.count == 1)
        return nil
      } catch {
        return error
      }
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func anEncryptedConnectionTrustsItsAuthorityOnly(version: String) async throws {
      #expect(try await ask(version, .tls, .tls(caFile: certificates.authority)) == nil)
      let error = try #require(try await ask(version, .tls, .tls(caFile: certificates.strangerAuthority)))
      #expect(error.code == .authentication, "\(error)")
      #expect(error.message.contains("localhost"), "names the host: \(error)")
      #expect(error.message.contains("CA file"), "says what to look at: \(error)")
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions)
    func mutualTLSWantsOurCertificate(version: String) async throws {
      let certificates = certificates
      let plain = KafkaSecurity.tls(
        caFile: certificates.authority, certificateFile: certificates.clientCertificate,
        keyFile: certificates.clientKey)
      #expect(try await ask(version, .mutualTLS, plain) == nil)
      let encrypted = KafkaSecurity.tls(
        caFile: certificates.authority, certificateFile: certificates.clientCertificate,
        keyFile: certificates.clientEncryptedKey, keyPassword: Secret(TestCertificates.keyPassword))
      #expect(try await ask(version, .mutualTLS, encrypted) == nil)
      let error = try #require(try await ask(version, .mutualTLS, .tls(caFile: certificates.authority)))
      #expect(error.code == .authentication && error.message.contains("mutual TLS"), "\(error)")
    }

    @Test(.timeLimit(.minutes(10)), arguments: RealKafka.versions, [KafkaBroker.Listener.sasl, .saslTLS])
    func passwordsAreCheckedByEachMechanism(version: String, listener: KafkaBroker.Listener) async throws {
      let tls = listener == .saslTLS ? KafkaSecurity.TLS(caFile: certificates.authority) : nil
      for mechanism in KafkaSecurity.Mechanism.allCases {
        let good = KafkaSecurity.sasl(
          mechanism: mechanism, username: "ada", password: Secret("correct horse"), tls: tls)
        let error = try await ask(version, listener, good)
        guard mechanism != .plain, version.hasPrefix("4"), KafkaLibrary.scramNeedsNewerLibrary else {
          #expect(error == nil, "\(mechanism) of \(version)")
          continue
        }
        #expect(error?.code == .authentication, "\(String(describing: error))")
        #expect(error?.message.contains("librdkafka 2.6.1") == true, "\(String(describing: error))")
      }
      let bad = KafkaSecurity.sasl(mechanism: .plain, username: "ada", password: Secret("wrong-battery"), tls: tls)
      let start = ContinuousClock.now
      let error = try #require(try await ask(version, listener, bad))
      #expect(ContinuousClock.now - start < .seconds(60), "refused credentials are not waited for")
      #expect(error.code == .authentication, "\(error)")
      #expect(!"\(error)".contains("wrong-battery"))
    }

    @Test(.timeLimit(.minutes(10)))
    func aReaderWithAWrongPasswordEndsWithTheReason() async throws {
      let broker = try RealKafka.broker("3.9.2")
      let consumer = try KafkaConsumer(
        KafkaConsumerConfiguration(
          brokers: [broker.address(.sasl)], group: "wrong",
          security: .sasl(mechanism: .plain, username: "ada", password: Secret("wrong-battery"), tls: nil)))
      let error = await #expect(throws: KafkaError.self) {
        for try await _ in consumer.records(from: ["events"]) {}
      }
      #expect(error?.code == .authentication, "\(String(describing: error))")
    }

    @Test func filesThatAreNotThereAreErrorsOfTheConfiguration() throws {
      for security in [
        KafkaSecurity.tls(caFile: "/nowhere/ca.pem"),
        .tls(caFile: certificates.authority, certificateFile: "/nowhere/client.pem", keyFile: certificates.clientKey),
        .tls(caFile: certificates.authority, certificateFile: certificates.clientCertificate, keyFile: "/nowhere/key"),
      ] {
        let error = #expect(throws: KafkaError.self) {
          try KafkaAdmin(brokers: ["localhost:1"], security: security)
        }
        #expect(
          error?.code == .configuration && error?.message.contains("/nowhere/") == true, "\(String(describing: error))")
      }
    }
  }
}
