internal import CSinkMicrohttpd
internal import Pipeline
internal import SinkTelemetry

/// What each path answers.
final class AdminPages: Sendable {
  private let pipeline: Pipeline
  private let startedAt: Int64

  /// - Parameter startedAt: nanoseconds since 1970-01-01 UTC.
  init(pipeline: Pipeline, startedAt: Int64) {
    self.pipeline = pipeline
    self.startedAt = startedAt
  }

  func page(_ path: String) -> (status: UInt32, type: String, body: String) {
    switch path {
    case "/metrics": return (200, "text/plain; version=0.0.4; charset=utf-8", PrometheusText.render(samples))
    case "/healthz": return (200, "text/plain", "ok\n")
    case "/readyz":
      let status = pipeline.status
      guard status.phase == .running, status.alarms.isEmpty else {
        let words = status.alarms.first.map { "table \($0.table): \($0.message)" } ?? status.phase.rawValue
        return (503, "text/plain", "not ready: \(words)\n")
      }
      return (200, "text/plain", "ready\n")
    case "/status":
      let text = StatusText.json(pipeline.status, of: pipeline.configuration, startedAt: startedAt)
      return (200, "application/json", text + "\n")
    case "/": return (200, "text/plain", Self.paths)
    default: return (404, "text/plain", "there is no \(JSONText.quoted(path)) here\n\(Self.paths)")
    }
  }

  private static let paths = """
    /metrics  Prometheus text
    /healthz  200 while the process lives
    /readyz   200 for a member of the group whose tables take inserts, else 503 with the reason
    /status   JSON: totals, partitions, alarms

    """

  private var samples: [MetricSample] {
    let build = MetricDescription("sinkctl_build_info", .gauge, "1, with the version.", labels: ["version"])
    return pipeline.metrics + [MetricSample(build, [VersionCommand.version], .number(1))] + ProcessMetrics.samples()
  }

  static let answer: MHD_AccessHandlerCallback = { context, connection, url, method, _, _, _, _ in
    guard let context = unsafe context, let url = unsafe url, let method = unsafe method else { return .NO }
    let pages = unsafe Unmanaged<AdminPages>.fromOpaque(context).takeUnretainedValue()
    let verb = unsafe String(cString: method)
    let (status, type, body) =
      verb == "GET" || verb == "HEAD"
      ? pages.page(unsafe String(cString: url)) : (405, "text/plain", "only GET is answered here\n")
    var bytes = Array(body.utf8)
    guard
      let response = unsafe MHD_create_response_from_buffer(
        bytes.count, &bytes, MHD_ResponseMemoryMode.RESPMEM_MUST_COPY)
    else { return .NO }
    defer { unsafe MHD_destroy_response(response) }
    unsafe MHD_add_response_header(response, "Content-Type", type)
    return unsafe MHD_queue_response(connection, status, response)
  }
}
