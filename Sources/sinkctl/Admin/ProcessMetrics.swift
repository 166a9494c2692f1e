internal import Glibc
internal import SinkTelemetry

/// What every Prometheus client tells about its process, under the names that its dashboards know.
enum ProcessMetrics {
  static let cpuSeconds = MetricDescription(
    "process_cpu_seconds_total", .counter, "CPU time of the process, user and system, in seconds.")
  static let residentBytes = MetricDescription(
    "process_resident_memory_bytes", .gauge, "Memory of the process that is in RAM.")
  static let openFiles = MetricDescription("process_open_fds", .gauge, "File descriptors that are open.")

  static func samples() -> [MetricSample] {
    var samples: [MetricSample] = []
    var usage = rusage()
    if unsafe getrusage(RUSAGE_SELF.rawValue, &usage) == 0 {
      let times = [usage.ru_utime, usage.ru_stime].map { Double($0.tv_sec) + Double($0.tv_usec) / 1e6 }
      samples.append(MetricSample(cpuSeconds, [], .number(times[0] + times[1])))
    }
    // The second field of statm is resident pages.
    if case .success(let text) = Environment.system.readFile("/proc/self/statm") {
      let fields = text.split(separator: " ")
      if fields.count > 1, let pages = Int(fields[1]) {
        samples.append(MetricSample(residentBytes, [], .number(Double(pages * Int(sysconf(Int32(_SC_PAGESIZE)))))))
      }
    }
    if let count = countEntries(of: "/proc/self/fd") {
      // The directory itself was open while it was counted.
      samples.append(MetricSample(openFiles, [], .number(Double(count - 1))))
    }
    return samples
  }

  private static func countEntries(of path: String) -> Int? {
    guard let directory = unsafe opendir(path) else { return nil }
    defer { unsafe closedir(directory) }
    var count = 0
    while let entry = unsafe readdir(directory) {
      // "." and "..".
      if unsafe entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
    }
    return count
  }
}
