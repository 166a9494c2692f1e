internal import Pipeline
internal import SinkTelemetry

/// Everything that a configuration file says.
struct SinkctlConfiguration {
  struct Admin: Equatable {
    var address = "127.0.0.1"
    /// 0: no listener.
    var port = 9790
  }

  enum LogFormat: String, CaseIterable {
    case text, json, journald
  }

  var pipeline: PipelineConfiguration
  var admin = Admin()
  var logLevel = LogLevel.info
  var logFormat = LogFormat.text
  /// Where each route begins in the file, for what only the servers can tell about it.
  var routeMarks: [SourceMark] = []
}
