internal import CRdKafka

extension KafkaError {
  /// - Parameter subject: what was attempted, as the start of the message.
  init(_ native: rd_kafka_resp_err_t, _ subject: String, detail: String? = nil, isFatal: Bool = false) {
    let words = unsafe String(cString: rd_kafka_err2str(native))
    let said = detail.map { $0.isEmpty ? words : $0 } ?? words
    let code = Self.isOurCertificateRefused(said) ? .authentication : Self.code(of: native)
    self.init(
      code: code, message: "\(subject): \(said)\(Self.advice(native, said))", nativeCode: native.rawValue,
      nativeName: unsafe String(cString: rd_kafka_err2name(native)),
      isRetriable: !isFatal && Self.retriable.contains(code),
      isFatal: isFatal)
  }

  /// Takes over and frees the error object.
  @unsafe init(consuming error: OpaquePointer, _ subject: String) {
    let code = unsafe rd_kafka_error_code(error)
    let words = unsafe String(cString: rd_kafka_error_string(error))
    unsafe self.init(code, subject, detail: words, isFatal: rd_kafka_error_is_fatal(error) != 0)
    unsafe rd_kafka_error_destroy(error)
  }

  /// librdkafka calls a TLS alert of the broker an error of the transport.
  private static func isOurCertificateRefused(_ said: String) -> Bool {
    said.contains("SSL alert") && (said.contains("certificate") || said.contains("unknown ca"))
  }

  static let retriable: Set<Code> = [.transport, .timedOut, .staleMember, .queueFull, .assignmentLost]

  private static func code(of native: rd_kafka_resp_err_t) -> Code {
    switch native {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, RD_KAFKA_RESP_ERR__SSL,
      RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
      .authentication
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      .authorization
    case RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__RESOLVE,
      RD_KAFKA_RESP_ERR__WAIT_COORD, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
      RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
      RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
      .transport
    case RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
      RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
      .timedOut
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
      RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      .unknownTopicOrPartition
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS: .topicExists
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: .offsetOutOfRange
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
      .fenced
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
      RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
      .staleMember
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST: .assignmentLost
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED: .maxPollExceeded
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: .queueFull
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: .messageTooLarge
    case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE: .offsetMetadataTooLarge
    case RD_KAFKA_RESP_ERR__STATE: .state
    case RD_KAFKA_RESP_ERR__INVALID_ARG: .invalidArgument
    default: native.rawValue > 0 ? .broker : .library
    }
  }

  /// What to do, where librdkafka's words do not say it.
  private static func advice(_ native: rd_kafka_resp_err_t, _ said: String) -> String {
    if isOurCertificateRefused(said) {
      return """
        . The broker wants a certificate of ours that it trusts (mutual TLS): look at the certificate file and the key \
        file, and at who signed them
        """
    }
    return switch native {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION where said.contains("SCRAM") && KafkaLibrary.scramNeedsNewerLibrary:
      """
      . librdkafka \(KafkaLibrary.version) cannot do SCRAM with Kafka 4.x, whatever the password: \
      run with librdkafka 2.6.1 or later
      """
    case RD_KAFKA_RESP_ERR__SSL where said.contains("certificate verify failed"):
      """
      . The broker's certificate is not from an authority that we trust, or is for another host name: \
      look at the CA file (ssl.ca.location) and at the name in `brokers`
      """
    case RD_KAFKA_RESP_ERR__SSL where said.contains("unexpected eof") || said.contains("wrong version number"):
      ". What listens there may not speak TLS: look at the port in `brokers`"
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      ". The limits are the producer's `recordMaxBytes` and the topic's max.message.bytes"
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
      ". The producer was closed before it could be sent"
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
      ". The producer was closed before the broker's answer: it may be written"
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
      ". Another process has joined the group under our instance id: give each process its own"
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
      ". A handler call took too long; the group has given our partitions away"
    default: ""
    }
  }
}
