internal import CRdKafka
internal import SinkThreads
internal import Synchronization

/// Destroys native handles that nobody waits for, each on a thread of its own: librdkafka may wait for an outstanding
/// answer, up to about a session.
enum Reaper {
  /// A join that the group holds up ends with its rebalance timeout, five minutes (`max.poll.interval.ms`).
  private static let joinPatience = Duration.seconds(KafkaLibrary.abortsWithinJoin ? 600 : 10)
  private static let leavePatience = Duration.seconds(10)

  /// - Parameter leaving: whether it is still to end its membership: the join in which it was closed held that up.
  @unsafe static func destroy(_ handle: OpaquePointer, keeping callbacks: NativeCallbacks, leaving: Bool = false) {
    let corpse = unsafe Corpse(handle: handle, callbacks: callbacks, leaving: leaving)
    NamedThread(name: "kafka-reaper") { corpse.destroy() }.detach()
  }

  /// Sendable: from here on only the reaper's thread has the handle.
  @safe private struct Corpse: @unchecked Sendable {
    let handle: OpaquePointer
    /// librdkafka calls them until the handle is gone.
    let callbacks: NativeCallbacks
    let leaving: Bool

    func destroy() {
      let clock = TimeSource.system
      let hasJoined = unsafe NativeClosing.letJoinEnd(
        handle, callbacks, by: clock.monotonic() + Reaper.joinPatience, clock)
      if leaving, hasJoined {
        _ = unsafe NativeClosing.leave(handle, by: clock.monotonic() + Reaper.leavePatience, clock)
      }
      unsafe rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
      extendLifetime(callbacks)
    }
  }
}
