internal import Synchronization

/// What a metric is, apart from its values: Prometheus' terms.
public struct MetricDescription: Sendable, Hashable {
  public enum Kind: String, Sendable { case counter, gauge, histogram }

  public let name: String
  public let kind: Kind
  public let help: String
  public let labels: [String]

  public init(_ name: String, _ kind: Kind, _ help: String, labels: [String] = []) {
    self.name = name
    self.kind = kind
    self.help = help
    self.labels = labels
  }
}

/// One value of one metric at one moment: plain, so that any monitoring library can be fed from it.
public struct MetricSample: Sendable {
  public enum Value: Sendable {
    case number(Double)
    /// `counts[i]` observations were at most `bounds[i]`; not cumulative; the last count is of those above every bound.
    case histogram(bounds: [Double], counts: [UInt64], sum: Double)
  }

  public let metric: MetricDescription
  /// In the order of `metric.labels`.
  public let labelValues: [String]
  public let value: Value

  public init(_ metric: MetricDescription, _ labelValues: [String] = [], _ value: Value) {
    precondition(labelValues.count == metric.labels.count, "metric \(metric.name) has labels \(metric.labels)")
    self.metric = metric
    self.labelValues = labelValues
    self.value = value
  }
}

/// A number that only grows, added to from any thread without a lock.
public final class Counter: Sendable {
  private let total = Atomic<Int>(0)

  public init() {}

  public func add(_ amount: Int = 1) { total.add(amount, ordering: .relaxed) }
  public var value: Int { total.load(ordering: .relaxed) }
}

/// A number that is set, from any thread without a lock.
public final class Gauge: Sendable {
  private let current = Atomic<Int>(0)

  public init() {}

  public func set(_ value: Int) { current.store(value, ordering: .relaxed) }
  public func add(_ amount: Int) { current.add(amount, ordering: .relaxed) }
  public var value: Int { current.load(ordering: .relaxed) }
}

/// Observations sorted into fixed buckets: the memory is bounded whatever happens. Meant for events a block, not a record.
public final class Histogram: Sendable {
  private struct State {
    var counts: [UInt64]
    var sum = 0.0
  }

  public let bounds: [Double]
  private let state: Mutex<State>

  /// - Parameter bounds: upper bounds, ascending, in the metric's unit.
  public init(bounds: [Double]) {
    precondition(!bounds.isEmpty && zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 })
    self.bounds = bounds
    state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
  }

  public func observe(_ value: Double) {
    let index = bounds.firstIndex { value <= $0 } ?? bounds.count
    state.withLock { state in
      state.counts[index] += 1
      state.sum += value
    }
  }

  public var snapshot: MetricSample.Value {
    state.withLock { .histogram(bounds: bounds, counts: $0.counts, sum: $0.sum) }
  }
}
