internal import Synchronization

/// The live values behind a component's metrics. Looking one up takes a lock, so whoever counts often keeps what it got.
public final class MetricsRegistry: Sendable {
  private struct Key: Hashable, Sendable {
    let metric: MetricDescription
    let labelValues: [String]
  }

  private enum Value: Sendable {
    case counter(Counter)
    case gauge(Gauge)
    case histogram(Histogram)
  }

  private struct State {
    var values: [Key: Value] = [:]
    var order: [Key] = []
  }

  private let state = Mutex(State())

  public init() {}

  public func counter(_ metric: MetricDescription, _ labelValues: [String] = []) -> Counter {
    precondition(metric.kind == .counter, "\(metric.name) is no counter")
    guard case .counter(let counter) = value(metric, labelValues, { .counter(Counter()) }) else {
      preconditionFailure("\(metric.name) was made as something else")
    }
    return counter
  }

  public func gauge(_ metric: MetricDescription, _ labelValues: [String] = []) -> Gauge {
    precondition(metric.kind == .gauge, "\(metric.name) is no gauge")
    guard case .gauge(let gauge) = value(metric, labelValues, { .gauge(Gauge()) }) else {
      preconditionFailure("\(metric.name) was made as something else")
    }
    return gauge
  }

  public func histogram(_ metric: MetricDescription, _ labelValues: [String] = [], bounds: [Double]) -> Histogram {
    precondition(metric.kind == .histogram, "\(metric.name) is no histogram")
    guard case .histogram(let histogram) = value(metric, labelValues, { .histogram(Histogram(bounds: bounds)) }) else {
      preconditionFailure("\(metric.name) was made as something else")
    }
    return histogram
  }

  /// Drops a gauge whose subject is gone, such as a partition that another member has now.
  public func remove(_ metric: MetricDescription, _ labelValues: [String]) {
    let key = Key(metric: metric, labelValues: labelValues)
    state.withLock { state in
      guard state.values.removeValue(forKey: key) != nil else { return }
      state.order.removeAll { $0 == key }
    }
  }

  /// All values at this moment, in the order in which they were first asked for.
  public var snapshot: [MetricSample] {
    state.withLock { state in
      state.order.compactMap { key in
        switch state.values[key] {
        case .counter(let counter): MetricSample(key.metric, key.labelValues, .number(Double(counter.value)))
        case .gauge(let gauge): MetricSample(key.metric, key.labelValues, .number(Double(gauge.value)))
        case .histogram(let histogram): MetricSample(key.metric, key.labelValues, histogram.snapshot)
        case nil: nil
        }
      }
    }
  }

  private func value(_ metric: MetricDescription, _ labelValues: [String], _ make: () -> Value) -> Value {
    let key = Key(metric: metric, labelValues: labelValues)
    precondition(labelValues.count == metric.labels.count, "metric \(metric.name) has labels \(metric.labels)")
    return state.withLock { state in
      if let value = state.values[key] { return value }
      let value = make()
      state.values[key] = value
      state.order.append(key)
      return value
    }
  }
}
