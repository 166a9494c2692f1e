internal import KafkaClient

/// What Kafka's ACLs must allow, in the words of those who write them.
struct KafkaGrant: Equatable {
  enum Resource: Equatable {
    /// To read it, which means seeing it too.
    case reading(topic: String)
    case writing(topic: String)
    /// To be a member and to commit offsets, which means seeing it too.
    case group(String)
  }

  let resource: Resource
  let security: KafkaSecurity

  static func == (left: Self, right: Self) -> Bool {
    left.resource == right.resource && left.security.principal == right.security.principal
  }

  /// A sentence for the end of a message.
  var advice: String {
    let (operation, place, actions) = parts
    let principal = security.principal ?? "User:<the certificate's subject>"
    return "Allow it: kafka-acls --add --allow-principal '\(principal)' --operation \(operation) \(place); "
      + "in a policy of MSK's IAM: \(actions)"
  }

  private var parts: (operation: String, place: String, actions: String) {
    switch resource {
    case .reading(let topic):
      ("Read", "--topic '\(topic)'", "kafka-cluster:ReadData and kafka-cluster:DescribeTopic on the topic")
    case .writing(let topic):
      ("Write", "--topic '\(topic)'", "kafka-cluster:WriteData and kafka-cluster:DescribeTopic on the topic")
    case .group(let group):
      ("Read", "--group '\(group)'", "kafka-cluster:AlterGroup and kafka-cluster:DescribeGroup on the group")
    }
  }

  /// What an error of a broker asks for; nil where it is about something else.
  /// - Parameter topic: that it is about, where the error itself does not say so.
  init?(_ error: KafkaError, topic: String?, _ kafka: KafkaConsumerConfiguration) {
    guard error.code == .authorization else { return nil }
    security = kafka.security
    switch error.nativeName {
    case "GROUP_AUTHORIZATION_FAILED": resource = .group(kafka.group)
    case "TOPIC_AUTHORIZATION_FAILED":
      guard let topic else { return nil }
      resource = .reading(topic: topic)
    default: return nil
    }
  }

  init(_ resource: Resource, _ security: KafkaSecurity) {
    self.resource = resource
    self.security = security
  }
}
