/// How long the answer to a commit may take before its outcome counts as unknown, which costs the Kafka handle.
///
/// Half a second finds a lost commit fast and is enough for a broker in health. One that is steadily slower would have
/// its every commit given up and asked anew, for ever: so each commit that comes too late doubles the time, and answers
/// that come in a small part of it take it back, step by step. Certainty does not depend on it: librdkafka's silent
/// repetitions are counted.
struct CommitPatience: Sendable, Equatable {
  static let usual = Duration.milliseconds(500)

  private(set) var duration = CommitPatience.usual
  /// A commit renews the lease, from its sending on: its answer must come well before the lease is over.
  let ceiling: Duration

  init(session: Duration) { ceiling = max(Self.usual, session / 3) }

  var isStretched: Bool { duration > Self.usual }

  mutating func missed() { duration = min(duration * 2, ceiling) }

  mutating func answered(after time: Duration) {
    guard isStretched, time * 4 < duration else { return }
    duration = max(Self.usual, duration - duration / 32)
  }
}
