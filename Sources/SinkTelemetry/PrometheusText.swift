/// Prometheus' text exposition format, version 0.0.4: HELP and TYPE once for each metric, then its samples.
public enum PrometheusText {
  /// Samples of one metric need not lie together; metrics come in the order in which they first appear.
  public static func render(_ samples: [MetricSample]) -> String {
    var order: [String] = []
    var groups: [String: [MetricSample]] = [:]
    for sample in samples {
      if groups[sample.metric.name] == nil { order.append(sample.metric.name) }
      groups[sample.metric.name, default: []].append(sample)
    }
    var text = ""
    for name in order {
      guard let group = groups[name], let metric = group.first?.metric else { continue }
      text += "# HELP \(name) \(escape(metric.help, quotes: false))\n# TYPE \(name) \(metric.kind.rawValue)\n"
      for sample in group { append(sample, to: &text) }
    }
    return text
  }

  private static func append(_ sample: MetricSample, to text: inout String) {
    let name = sample.metric.name
    let labels = Array(zip(sample.metric.labels, sample.labelValues))
    switch sample.value {
    case .number(let value):
      text += "\(name)\(render(labels)) \(render(value))\n"
    case .histogram(let bounds, let counts, let sum):
      var cumulative: UInt64 = 0
      for (bound, count) in zip(bounds.map(render) + ["+Inf"], counts) {
        cumulative += count
        text += "\(name)_bucket\(render(labels + [("le", bound)])) \(cumulative)\n"
      }
      text += "\(name)_sum\(render(labels)) \(render(sum))\n\(name)_count\(render(labels)) \(cumulative)\n"
    }
  }

  private static func render(_ labels: [(String, String)]) -> String {
    guard !labels.isEmpty else { return "" }
    return "{" + labels.map { "\($0.0)=\"\(escape($0.1, quotes: true))\"" }.joined(separator: ",") + "}"
  }

  private static func render(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
    return "\(value)"
  }

  private static func escape(_ text: String, quotes: Bool) -> String {
    var escaped = ""
    // By scalars: as a character, a line break after a carriage return would be neither of them.
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": escaped += "\\\\"
      case "\n": escaped += "\\n"
      case "\"" where quotes: escaped += "\\\""
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }
}
