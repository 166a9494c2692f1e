internal import CSinkMicrohttpd
internal import Glibc
internal import Pipeline
internal import SinkThreads

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
    pages = AdminPages(pipeline: pipeline, startedAt: TimeSource.system.wallNanoseconds())
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
    let words = unsafe String(cString: strerror(errno))
    guard unsafe daemon != nil else {
      throw AdminProblem(
        message:
          "admin.listen: cannot listen on \(configuration.address):\(configuration.port): "
          + "\(words). Is another sinkctl running? Give another port, or 'off'")
    }
  }

  func stop() {
    guard let running = unsafe daemon else { return }
    unsafe MHD_stop_daemon(running)
    unsafe daemon = nil
  }

  deinit { stop() }
}
