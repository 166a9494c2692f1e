internal import ClickHouseClient
internal import KafkaClient

extension Pipeline {
  /// Looks at both sides without moving anything: is ClickHouse there, do tables and columns fit; are the brokers there,
  /// do the topics exist.
  /// - Returns: everything that is wrong; empty where a run would start.
  public func check() async -> [PipelineError] {
    await checkClickHouse() + checkKafka()
  }

  private func checkClickHouse() async -> [PipelineError] {
    let client: ClickHouseClient
    do throws(ClickHouseError) {
      client = try ClickHouseClient(configuration.clickhouse)
    } catch {
      return [PipelineError(.configuration, error.message, cause: error)]
    }
    defer { client.close() }
    do throws(PipelineError) {
      _ = try await SchemaReader(client: client, logger: configuration.logger).resolve(configuration.routes)
      return []
    } catch {
      // One finding for each detail, so that a caller can show where each belongs.
      guard !error.details.isEmpty else { return [error] }
      return error.details.map { PipelineError(error.code, $0, cause: error.cause) }
    }
  }

  private func checkKafka() async -> [PipelineError] {
    do throws(KafkaError) {
      let admin = try KafkaAdmin(brokers: configuration.kafka.brokers, security: configuration.kafka.security)
      let cluster = try await admin.metadata(within: .seconds(10))
      let known = Set(cluster.topics.map(\.name))
      var wanted = configuration.routes.flatMap(\.topics).filter { !$0.hasPrefix("^") }
      for route in configuration.routes {
        if case .topic(let name) = route.deadLetters { wanted.append(name) }
      }
      return wanted.filter { !known.contains($0) }.map { topic in
        PipelineError(.refused, "topic '\(topic)' does not exist, or this user may not see it")
      }
    } catch {
      return [PipelineError(PipelineError.code(of: error), "Kafka: \(error.message)", cause: error)]
    }
  }
}
