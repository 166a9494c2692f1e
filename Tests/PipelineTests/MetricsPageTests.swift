import Foundation
import SinkTelemetry
import Testing

@testable import Pipeline

@Suite struct MetricsPageTests {
  /// docs/METRICS.md and the one file that spells the names say the same, line for line.
  @Test func thePageListsEveryMetricAndNoOther() throws {
    let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/METRICS.md")
    let listed = try String(contentsOf: page, encoding: .utf8).split(separator: "\n").compactMap { line -> String? in
      line.hasPrefix("| `sinkctl_") ? String(line) : nil
    }
    let expected = PipelineMetric.all.map { metric in
      let labels = metric.labels.map { "`\($0)`" }.joined(separator: ", ")
      return "| `\(metric.name)` | \(metric.kind.rawValue) | \(labels.isEmpty ? "–" : labels) | \(metric.help) |"
    }
    #expect(listed == expected)
    #expect(Set(PipelineMetric.all.map(\.name)).count == PipelineMetric.all.count, "a name stands twice")
  }
}
