package import KafkaClient

extension PipelineError {
  /// What an error of Kafka means for a pipeline, and so for the exit code.
  package static func code(of error: KafkaError) -> Code {
    switch error.code {
    case .transport, .timedOut: .unreachable
    case .authentication, .authorization, .unknownTopicOrPartition: .refused
    case .configuration, .invalidArgument: .configuration
    case .fenced: .fenced
    default: .kafka
    }
  }
}
