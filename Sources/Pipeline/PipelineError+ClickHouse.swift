internal import ClickHouseClient

extension ClickHouseClient {
  /// - Throws: `configuration`.
  static func open(_ configuration: ClickHouseConfiguration) throws(PipelineError) -> ClickHouseClient {
    do throws(ClickHouseError) {
      return try ClickHouseClient(configuration)
    } catch {
      throw PipelineError(.configuration, error.message, cause: error)
    }
  }
}
