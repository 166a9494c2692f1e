internal import KafkaClient

/// What an audit asks the brokers, with the errors of a pipeline.
struct AuditKafka {
  /// How long each question may take, and how long a reader waits for a record.
  static let patience = Duration.seconds(60)

  private let admin: KafkaAdmin
  private let group: String

  init(_ kafka: KafkaConsumerConfiguration) throws(PipelineError) {
    group = kafka.group
    var properties = kafka.connectionProperties
    // The end of a log is another one for who reads uncommitted records.
    properties["isolation.level"] = kafka.isolation.rawValue
    do throws(KafkaError) {
      admin = try KafkaAdmin(brokers: kafka.brokers, security: kafka.security, properties: properties)
    } catch {
      throw Self.problem(error)
    }
  }

  func topics() async throws(PipelineError) -> [KafkaAdmin.Topic] {
    do throws(KafkaError) { return try await admin.metadata(within: Self.patience).topics } catch {
      throw Self.problem(error)
    }
  }

  func committed(_ partitions: [TopicPartition]) async throws(PipelineError) -> [TopicPartition: Int64] {
    do throws(KafkaError) {
      return try Self.values(try await admin.committedOffsets(group: group, partitions, within: Self.patience))
    } catch {
      throw Self.problem(error)
    }
  }

  /// Where these partitions begin and end, as the isolation level sees it.
  func logs(_ partitions: [TopicPartition]) async throws(PipelineError) -> [TopicPartition: Range<Int64>] {
    let (lows, highs) = (try await offsets(partitions, .earliest), try await offsets(partitions, .latest))
    return lows.reduce(into: [:]) { $0[$1.key] = $1.value..<max($1.value, highs[$1.key] ?? 0) }
  }

  /// - Returns: without a partition whose records are all older.
  func offsets(
    of bound: AuditRequest.Bound?, _ partitions: [TopicPartition]
  ) async throws(PipelineError) -> [TopicPartition: Int64] {
    switch bound {
    case nil: [:]
    case .offset(let offset): Dictionary(uniqueKeysWithValues: partitions.map { ($0, offset) })
    case .time(let milliseconds): try await offsets(partitions, .time(milliseconds))
    }
  }

  private func offsets(
    _ partitions: [TopicPartition], _ position: LogPosition
  ) async throws(PipelineError) -> [TopicPartition: Int64] {
    do throws(KafkaError) {
      return try Self.values(try await admin.offsets(partitions, at: position, within: Self.patience))
    } catch {
      throw Self.problem(error)
    }
  }

  private static func values(_ offsets: [CommittedOffset]) throws(KafkaError) -> [TopicPartition: Int64] {
    var values: [TopicPartition: Int64] = [:]
    for item in offsets {
      if let error = item.error { throw error }
      values[item.partition] = item.offset
    }
    return values
  }

  static func problem(_ error: KafkaError) -> PipelineError {
    PipelineError(PipelineError.code(of: error), "Kafka: \(error.message)", cause: error)
  }
}
