internal import SinkThreads
internal import Synchronization

/// Until when one Kafka handle's session is sure to live: inserts are sent only before. The consumer's thread extends it,
/// the inserter's asks right before each send.
final class DeliveryLease: Sendable {
  private let until = Atomic<Int64>(.min)

  func extend(to instant: MonotonicInstant) { until.store(instant.nanoseconds, ordering: .sequentiallyConsistent) }

  func holds(at now: MonotonicInstant) -> Bool { now.nanoseconds < until.load(ordering: .sequentiallyConsistent) }
}

/// What a declared block needs to be sent.
final class SendPermit: Sendable {
  private let lease: DeliveryLease
  private let isWithdrawn = Atomic<Bool>(false)

  init(lease: DeliveryLease) { self.lease = lease }

  /// For good: it is not ours to send any more.
  func withdraw() { isWithdrawn.store(true, ordering: .sequentiallyConsistent) }

  var isGone: Bool { isWithdrawn.load(ordering: .sequentiallyConsistent) }

  func holds(at now: MonotonicInstant) -> Bool { !isGone && lease.holds(at: now) }
}
