import SinkTelemetry
import Testing

@Suite struct PrometheusTextTests {
  @Test func rendersEachKindAsTheFormatSays() {
    let registry = MetricsRegistry()
    let requests = MetricDescription("requests_total", .counter, "Requests \\ and\nmore.", labels: ["path"])
    registry.counter(requests, ["/a\"b\\c\nd"]).add(3)
    registry.gauge(MetricDescription("temperature", .gauge, "Now.")).set(-4)
    let seconds = MetricDescription("seconds", .histogram, "How long.", labels: ["table"])
    let histogram = registry.histogram(seconds, ["t"], bounds: [0.5, 1])
    for value in [0.25, 0.5, 0.75, 9] { histogram.observe(value) }
    registry.counter(requests, ["/z"]).add()

    #expect(
      PrometheusText.render(registry.snapshot) == """
        # HELP requests_total Requests \\\\ and\\nmore.
        # TYPE requests_total counter
        requests_total{path="/a\\"b\\\\c\\nd"} 3
        requests_total{path="/z"} 1
        # HELP temperature Now.
        # TYPE temperature gauge
        temperature -4
        # HELP seconds How long.
        # TYPE seconds histogram
        seconds_bucket{table="t",le="0.5"} 2
        seconds_bucket{table="t",le="1"} 3
        seconds_bucket{table="t",le="+Inf"} 4
        seconds_sum{table="t"} 10.5
        seconds_count{table="t"} 4

        """)
  }

  @Test(arguments: [
    (0.1, "0.1"), (1e15, "1000000000000000.0"), (-0.0, "0"), (.infinity, "+Inf"), (.nan, "NaN"), (12345.0, "12345"),
  ])
  func numbersAreWrittenAsPrometheusReadsThem(value: Double, text: String) {
    let metric = MetricDescription("m", .gauge, "h")
    #expect(PrometheusText.render([MetricSample(metric, [], .number(value))]).hasSuffix("\nm \(text)\n"))
  }

  @Test(arguments: [
    ("a\r\nb", #"a\#u{D}\nb"#), ("\u{301}\"", "\u{301}\\\""), ("\\n", #"\\n"#), ("", ""),
    ("ä·\u{1F600}", "ä·\u{1F600}"),
  ])
  func noLabelBreaksItsLine(value: String, text: String) {
    let metric = MetricDescription("m", .gauge, "h", labels: ["l"])
    #expect(PrometheusText.render([MetricSample(metric, [value], .number(1))]).hasSuffix("\nm{l=\"\(text)\"} 1\n"))
  }

  /// As Prometheus wants it, whatever was observed: cumulative, and the last bucket is the count.
  @Test func bucketsOfAHistogramAreCumulative() {
    let histogram = Histogram(bounds: [1, 10, 100])
    var generator = SystemRandomNumberGenerator()
    let values = (0..<1000).map { _ in Double.random(in: -5...500, using: &generator) } + [1, 10, 100, .infinity]
    for value in values { histogram.observe(value) }
    guard case .histogram(let bounds, let counts, _) = histogram.snapshot else {
      Issue.record("no histogram")
      return
    }
    var below: UInt64 = 0
    for (bound, count) in zip(bounds, counts) {
      below += count
      #expect(below == UInt64(values.count { $0 <= bound }), "at most \(bound)")
    }
    #expect(counts.reduce(0, +) == UInt64(values.count))
  }

  @Test func countersAreAddedToFromManyThreads() async {
    let registry = MetricsRegistry()
    let metric = MetricDescription("c_total", .counter, "h", labels: ["t"])
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          let counter = registry.counter(metric, ["x"])
          for _ in 0..<10_000 { counter.add() }
        }
      }
    }
    #expect(registry.counter(metric, ["x"]).value == 80_000)
    #expect(registry.snapshot.count == 1, "one and the same counter")
  }

  @Test func aRemovedGaugeIsGone() {
    let registry = MetricsRegistry()
    let lag = MetricDescription("lag", .gauge, "h", labels: ["partition"])
    registry.gauge(lag, ["0"]).set(1)
    registry.gauge(lag, ["1"]).set(2)
    registry.remove(lag, ["0"])
    #expect(registry.snapshot.map(\.labelValues) == [["1"]])
  }
}

@Suite struct LoggerTests {
  @Test func belowTheLevelNothingIsSaidNorEvenMade() {
    let spoken = Spoken()
    let logger = Logger(source: "test", level: .warning, handler: spoken.take)
    func metadata() -> KeyValuePairs<String, String> {
      Issue.record("metadata was made for an event that nobody wants")
      return [:]
    }
    logger.info("quiet", metadata())
    logger.error("loud", ["b": "1", "a": "2"])
    #expect(spoken.events.map(\.message) == ["loud"])
    #expect(spoken.events.first?.metadata.map(\.key) == ["b", "a"], "the order of the code is kept")
  }

  @Test func aSecretIsNeverSpelled() {
    let secret = Secret("hunter2")
    #expect("\(secret)" == "***")
    #expect(String(reflecting: secret) == "***")
    #expect(String(describing: ["password": secret]).contains("hunter2") == false)
    var dumped = ""
    dump(secret, to: &dumped)
    #expect(!dumped.contains("hunter2"))
    #expect(secret.reveal() == "hunter2")
  }
}
