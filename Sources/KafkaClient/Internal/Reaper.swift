internal import CRdKafka
internal import SinkThreads
internal import Synchronization

/// Destroys native handles that nobody waits for, each on a thread of its own: librdkafka may wait for an outstanding
/// answer, up to about a session.
enum Reaper {
  private static let joinPatience = Duration.seconds(10)

  @unsafe static func destroy(_ handle: OpaquePointer, keeping callbacks: NativeCallbacks) {
    let corpse = unsafe Corpse(handle: handle, callbacks: callbacks)
    NamedThread(name: "kafka-reaper") { corpse.destroy() }.detach()
  }

  /// Sendable: from here on only the reaper's thread has the handle.
  @safe private struct Corpse: @unchecked Sendable {
    let handle: OpaquePointer
    /// librdkafka calls them until the handle is gone.
    let callbacks: NativeCallbacks

    func destroy() {
      letJoinEnd()
      unsafe rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
      extendLifetime(callbacks)
    }

    /// See `NativeConsumer.close`. A handle that is dropped in the midst of a join is polled until it has ended.
    private func letJoinEnd() {
      callbacks.close()
      let clock = TimeSource.system
      let deadline = clock.monotonic() + Reaper.joinPatience
      while callbacks.isJoining.load(ordering: .sequentiallyConsistent), clock.monotonic() < deadline {
        if let message = unsafe rd_kafka_consumer_poll(handle, 10) { unsafe rd_kafka_message_destroy(message) }
      }
    }
  }
}
