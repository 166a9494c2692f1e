internal import CSinkMicrohttpd
internal import Glibc
internal import Pipeline
internal import SinkTelemetry

struct AdminProblem: Error {
  let message: String
}

/// `/metrics`, `/healthz`, `/readyz` and `/status`, on loopback unless the configuration says otherwise. libmicrohttpd's one
/// thread serves them; they only read what the pipeline has published.
@safe final class AdminServer {
  private var daemon: OpaquePointer?
  /// What the callback finds by its pointer.
  private let pages: AdminPages

  init(_ configuration: SinkctlConfiguration.Admin, pipeline: Pipeline) throws(AdminProblem) {
    pages = AdminPages(pipeline: pipeline)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(configuration.port).bigEndian)
    guard let ipv4 = configuration.ipv4 else { preconditionFailure("the configuration's reader checks the address") }
    address.sin_addr.s_addr = ipv4
    let context = unsafe Unmanaged.passUnretained(pages).toOpaque()
    // Bounds: connections at once, seconds that a silent one may stay, bytes that one may use.
    let options = unsafe [
      MHD_OptionItem(option: .CONNECTION_LIMIT, value: 32, ptr_value: nil),
      MHD_OptionItem(option: .CONNECTION_TIMEOUT, value: 10, ptr_value: nil),
      MHD_OptionItem(option: .CONNECTION_MEMORY_LIMIT, value: 32 << 10, ptr_value: nil),
      MHD_OptionItem(option: .END, value: 0, ptr_value: nil),
    ]
    unsafe daemon = withUnsafePointer(to: &address) { address in
      unsafe options.withUnsafeBufferPointer { options in
        let arguments: [any CVarArg] = unsafe [
          MHD_OPTION.SOCK_ADDR.rawValue, OpaquePointer(address),
          MHD_OPTION.ARRAY.rawValue, OpaquePointer(options.baseAddress!),
          MHD_OPTION.END.rawValue,
        ]
        return unsafe withVaList(arguments) { list in
          unsafe MHD_start_daemon_va(
            MHD_USE_INTERNAL_POLLING_THREAD.rawValue, UInt16(configuration.port), nil, nil, AdminPages.answer, context,
            list)
        }
      }
    }
    guard unsafe daemon != nil else {
      throw AdminProblem(
        message:
          "admin.listen: cannot listen on \(configuration.address):\(configuration.port); is another sinkctl running? "
          + "Give another port, or 'off'")
    }
  }

  func stop() {
    guard let running = unsafe daemon else { return }
    unsafe MHD_stop_daemon(running)
    unsafe daemon = nil
  }

  deinit { stop() }
}

/// What each path answers.
final class AdminPages: Sendable {
  private let pipeline: Pipeline

  init(pipeline: Pipeline) { self.pipeline = pipeline }

  func page(_ path: String) -> (status: UInt32, type: String, body: String) {
    switch path {
    case "/metrics": return (200, "text/plain; version=0.0.4; charset=utf-8", PrometheusText.render(samples))
    case "/healthz": return (200, "text/plain", "ok\n")
    case "/readyz":
      let status = pipeline.status
      let words =
        status.phase == .running && status.alarms.isEmpty ? "" : status.alarms.first?.message ?? status.phase.rawValue
      return words.isEmpty ? (200, "text/plain", "ready\n") : (503, "text/plain", "not ready: \(words)\n")
    case "/status": return (200, "application/json", StatusText.json(pipeline.status) + "\n")
    default: return (404, "text/plain", "there are /metrics, /healthz, /readyz and /status\n")
    }
  }

  private var samples: [MetricSample] {
    let build = MetricDescription("sinkctl_build_info", .gauge, "1, with the version.", labels: ["version"])
    return pipeline.metrics + [MetricSample(build, [VersionCommand.version], .number(1))]
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
