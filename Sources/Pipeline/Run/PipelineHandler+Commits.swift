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
    let offsets = dirty.map {
      CommittedOffset($0.topicPartition, offset: $0.ledger.frontier, metadata: IntentMetadata.nothingPending)
    }
    let id = control.commit(offsets, deadline: now + context.configuration.limits.commitDeadline)
    let sent = Dictionary(uniqueKeysWithValues: dirty.map { ($0.id, $0.ledger.frontier) })
    commit.outstanding = (id, sent, now)
    commit.nextDue = now + (isDraining ? .milliseconds(50) : context.configuration.limits.commitInterval)
  }

  /// A refused or unknown commit changes nothing here: at least once, the next one says the same or more. A late copy of
  /// an unknown one can set the group's offset back, which a crash would turn into rows inserted again, not into a loss.
  mutating func committed(_ id: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {
    guard exactly == nil else { return committedExactly(id, result, control) }
    guard let sent = commit.outstanding, sent.id == id else { return }
    commit.outstanding = nil
    switch result {
    case .known:
      context.metrics.counter(PipelineMetric.commits, ["known"]).add()
      commit.failures = 0
      allowedGroup()
      for (partition, offset) in sent.offsets { partitions[partition]?.committed = offset }
    case .refused(let error, let offsets):
      refused(error, Set(offsets.map(\.partition.topic)))
      failed("refused", "a commit was refused; trying again", error, control)
    case .unknown(let error): failed("unknown", "nobody knows whether a commit landed; trying again", error, control)
    }
  }

  private mutating func failed(
    _ label: String, _ words: String, _ error: KafkaError, _ control: borrowing ConsumerControl
  ) {
    context.metrics.counter(PipelineMetric.commits, [label]).add()
    commit.failures += 1
    // A rebalance refuses some: that is no news. One that does not pass is said now and then.
    let level: LogLevel = commit.failures % 10 == 3 ? .warning : .debug
    context.logger.log(level, words, ["error": error.message, "in_a_row": "\(commit.failures)"])
    commit.nextDue = control.now + (isDraining ? .milliseconds(200) : .seconds(1))
  }
}
