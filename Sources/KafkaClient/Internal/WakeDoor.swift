internal import CRdKafka
internal import Synchronization

/// The one call that other threads may make: it ends the consumer's wait. Shutting takes the same lock, so the queue
/// cannot go away under a caller.
final class WakeDoor: Sendable {
  /// Sendable: used under the lock only.
  @safe private struct Queue: @unchecked Sendable { let pointer: OpaquePointer }

  private let queue = Mutex<Queue?>(nil)
  private let isWanted = Atomic<Bool>(false)

  func wake() {
    // First the flag, then the yield: a yield that the loop's call without waiting swallows is still seen by the flag, one
    // that comes after the flag was looked at is kept by librdkafka for the wait.
    isWanted.store(true, ordering: .sequentiallyConsistent)
    queue.withLock { queue in
      if let queue { unsafe rd_kafka_queue_yield(queue.pointer) }
    }
  }

  /// Whether somebody has called since the last time.
  func takeWish() -> Bool { isWanted.exchange(false, ordering: .sequentiallyConsistent) }

  /// Whether somebody has called; the wish stays.
  var hasWish: Bool { isWanted.load(ordering: .sequentiallyConsistent) }

  @unsafe func open(_ pointer: OpaquePointer) { queue.withLock { unsafe $0 = Queue(pointer: pointer) } }

  func shut() { queue.withLock { $0 = nil } }
}
