internal import KafkaClient
internal import SinkThreads

/// The section on Kafka: brokers, group, and who we are to them.
extension ConfigurationReader {
  func readKafka(_ section: SectionReader?) -> KafkaConsumerConfiguration? {
    guard let section else { return nil }
    defer { section.finish() }
    let brokers = readBrokers(section)
    let group = section.requiredText("group")
    var configuration = KafkaConsumerConfiguration(brokers: brokers ?? [], group: group ?? "")
    configuration.instanceID = section.text("instance_id")
    if configuration.instanceID?.isEmpty == true {
      section.reject("instance_id", "it must be a name that no other process of the group has")
    }
    configuration.start = section.choice("start", StartOffset.self) ?? .earliest
    configuration.isolation = section.choice("isolation", IsolationLevel.self) ?? .readCommitted
    if let timeout = section.duration("session_timeout", .milliseconds(500)...(.seconds(1800))) {
      configuration.sessionTimeout = timeout
      configuration.revokeDeadline = min(configuration.revokeDeadline, timeout * 0.45)
    }
    configuration.security = readSecurity(section.section("security")) ?? .plaintext
    for entry in section.pairs("properties") { configuration.properties[entry.name] = entry.value }
    // Part of the memory budget, so the pipeline must know it too.
    if let text = configuration.properties.removeValue(forKey: "queued.max.messages.kbytes") {
      if let value = Int(text), (1...2_097_151).contains(value) {
        configuration.queuedMaxKilobytes = value
      } else {
        section.problems.report(
          section.valueMark(of: "properties"),
          "kafka.properties.queued.max.messages.kbytes must be a whole number from 1 to 2097151")
      }
    }
    return brokers == nil || group == nil ? nil : configuration
  }

  private func readBrokers(_ section: SectionReader) -> [String]? {
    guard let brokers = section.required("brokers", section.list("brokers")) else { return nil }
    func isAddress(_ text: String) -> Bool {
      guard let colon = text.lastIndex(of: ":"), colon > text.startIndex, !text.contains("/"), !text.contains(",")
      else {
        return false
      }
      return Int(text[text.index(after: colon)...]).map { (1...65535).contains($0) } ?? false
    }
    guard !brokers.isEmpty, brokers.allSatisfy(isAddress) else {
      section.problems.report(
        section.valueMark(of: "brokers"),
        "kafka.brokers must be a list of host:port, such as [b-1.example:9094, b-2.example:9094]")
      return nil
    }
    return brokers
  }

  private enum SecurityProtocol: String, CaseIterable {
    case plaintext, tls
    case saslPlaintext = "sasl_plaintext"
    case saslTLS = "sasl_tls"

    var hasTLS: Bool { self == .tls || self == .saslTLS }
    var hasSASL: Bool { self == .saslPlaintext || self == .saslTLS }
  }

  private enum Mechanism: String, CaseIterable {
    case plain
    case scramSHA256 = "scram-sha-256"
    case scramSHA512 = "scram-sha-512"

    var native: KafkaSecurity.Mechanism {
      switch self {
      case .plain: .plain
      case .scramSHA256: .scramSHA256
      case .scramSHA512: .scramSHA512
      }
    }
  }

  private func readSecurity(_ section: SectionReader?) -> KafkaSecurity? {
    guard let section else { return nil }
    defer { section.finish() }
    // Never plaintext by omission: whoever writes a security section means something by it.
    let kind = section.required("protocol", section.choice("protocol", SecurityProtocol.self))
    let tls = KafkaSecurity.TLS(
      caFile: section.file("ca_file"), certificateFile: section.file("certificate_file"),
      keyFile: section.file("key_file"), keyPassword: section.secret("key_password"))
    let mechanism = section.choice(
      "mechanism", Mechanism.self,
      notYet: ["aws_msk_iam": "MSK takes scram-sha-512 on port 9096 and mutual TLS on 9094"])
    let username = section.text("username")
    let password = section.secret("password")
    guard let kind else { return nil }
    // What a protocol has no use for would be left out in silence, and with it what its writer meant.
    if !kind.hasTLS {
      refuse(["ca_file", "certificate_file", "key_file", "key_password", "key_password_file"], section, kind)
    }
    guard kind.hasSASL else {
      refuse(["mechanism", "username", "password", "password_file"], section, kind)
      return kind.hasTLS ? .tls(tls) : .plaintext
    }
    guard let mechanism = section.required("mechanism", mechanism),
      let username = section.required("username", username), let password = section.required("password", password)
    else { return nil }
    return .sasl(mechanism: mechanism.native, username: username, password: password, tls: kind.hasTLS ? tls : nil)
  }

  private func refuse(_ keys: [String], _ section: SectionReader, _ kind: SecurityProtocol) {
    for key in keys where section.has(key) {
      section.problems.report(
        section.mark(of: key), "\(section.path(key)) has no meaning with the protocol \(kind.rawValue)")
    }
  }
}
