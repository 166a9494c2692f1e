internal import Glibc
internal import Pipeline
internal import SinkTelemetry
internal import SinkThreads

/// Everything that a configuration file says.
struct SinkctlConfiguration {
  struct Admin: Equatable {
    var address = "127.0.0.1"
    /// 0: no listener.
    var port = 9790

    /// In network order; nil where the address is none of IPv4.
    var ipv4: UInt32? {
      var address = in_addr()
      return unsafe inet_pton(AF_INET, self.address, &address) == 1 ? address.s_addr : nil
    }
  }

  enum LogFormat: String, CaseIterable {
    case text, json, journald
  }

  var pipeline: PipelineConfiguration
  var admin = Admin()
  var logLevel = LogLevel.info
  var logFormat = LogFormat.text
  var logWriter: LogWriter { LogWriter(format: logFormat, time: .system) }

  /// Where each value stands in the file, by its path: for what only the servers can tell about it.
  var marks: [String: SourceMark] = [:]

  /// Where the value of a path stands, or the section that it would be in.
  func mark(of path: String) -> SourceMark? {
    var path = path
    while true {
      if let mark = marks[path] { return mark }
      // A column that the file does not name: its table is what the finding is about.
      if path.hasSuffix(".columns") { path = String(path.dropLast(7)) + "table" }
      if let mark = marks[path] { return mark }
      guard let end = path.lastIndex(where: { $0 == "." || $0 == "[" }) else { return nil }
      path = String(path[..<end])
    }
  }
}
