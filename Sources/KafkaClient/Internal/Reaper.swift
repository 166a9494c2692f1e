internal import CRdKafka
internal import SinkThreads

/// Destroys native handles that nobody waits for, each on a thread of its own: librdkafka may wait for an outstanding
/// answer, up to about a session.
enum Reaper {
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
      unsafe rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
      extendLifetime(callbacks)
    }
  }
}
