internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// Commits: the frontiers, all in one request, one request at a time.
extension PipelineHandler {
  private var isDraining: Bool { phase == .draining || revocation != nil }

  mutating func commitIfDue(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) {
    guard commit.outstanding == nil, now >= commit.nextDue else { return }
    let dirty = partitions.values.filter(\.isDirty)
    guard !dirty.isEmpty else { return }
    let offsets = dirty.map { CommittedOffset($0.topicPartition, offset: $0.ledger.frontier) }
    let id = control.commit(offsets, deadline: now + context.configuration.limits.commitDeadline)
    let sent = Dictionary(uniqueKeysWithValues: dirty.map { ($0.id, $0.ledger.frontier) })
    commit.outstanding = (id, sent, now)
    commit.nextDue = now + (isDraining ? .milliseconds(50) : context.configuration.limits.commitInterval)
  }

  /// A refused or unknown commit changes nothing here: at least once, the next one says the same or more. A late copy of
  /// an unknown one can set the group's offset back, which a crash would turn into rows inserted again, not into a loss.
  mutating func committed(_ id: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    guard let sent = commit.outstanding, sent.id == id else { return }
    commit.outstanding = nil
    let label: String
    switch result {
    case .known:
      label = "known"
      for (partition, offset) in sent.offsets { partitions[partition]?.committed = offset }
    case .refused(let error, _):
      label = "refused"
      context.logger.warning("a commit was refused", ["error": error.message])
    case .unknown(let error):
      label = "unknown"
      context.logger.warning("nobody knows whether a commit landed", ["error": error.message])
    }
    context.metrics.counter(PipelineMetric.commits, [label]).add()
    if label != "known" { commit.nextDue = control.now + .milliseconds(200) }
  }
}
