internal import Synchronization

/// Bytes held outside the consumer's thread: sealed blocks, compressed bodies, dead letters on their way.
final class MemoryMeter: Sendable {
  private let held = Atomic<Int>(0)

  var bytes: Int { held.load(ordering: .relaxed) }

  func take(_ bytes: Int) { held.add(bytes, ordering: .relaxed) }

  func giveBack(_ bytes: Int) {
    let left = held.subtract(bytes, ordering: .relaxed).newValue
    precondition(left >= 0, "more memory was given back than taken")
  }
}
