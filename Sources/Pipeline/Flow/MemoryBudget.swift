/// Decides when partitions pause and resume. A value: no lock, thread or clock; the caller carries out the action.
///
/// Paused at `limitBytes`, resumed at `resumeBytes`: pausing makes librdkafka throw away what it has fetched, so a slow
/// table must not pause and resume at every block.
struct MemoryBudget: Sendable, Equatable {
  enum Action: Sendable, Equatable { case none, pause, resume }

  let limitBytes: Int
  let resumeBytes: Int
  private(set) var usedBytes = 0
  private(set) var isPaused = false

  init(limitBytes: Int, resumeBytes: Int) {
    precondition(0 < resumeBytes && resumeBytes < limitBytes)
    self.limitBytes = limitBytes
    self.resumeBytes = resumeBytes
  }

  var isOver: Bool { usedBytes >= limitBytes }

  /// Sets what is in use now: open blocks by what they have allocated, sealed and encoded ones by what they hold.
  /// It is never refused: what librdkafka has handed over is in memory already, so refusing could only lose it.
  mutating func update(usedBytes: Int) -> Action {
    precondition(usedBytes >= 0)
    self.usedBytes = usedBytes
    if !isPaused, usedBytes >= limitBytes {
      isPaused = true
      return .pause
    }
    if isPaused, usedBytes <= resumeBytes {
      isPaused = false
      return .resume
    }
    return .none
  }
}
