internal import SinkThreads

/// What a handler may do: `ConsumerControl` passes it on.
extension ConsumerCore {
  var assignment: [TopicPartition] { Array(rebalance.assigned) }
  var memberID: String { native.memberID }
  var generation: Int32 { native.generation }

  func assign(_ partitions: [(TopicPartition, offset: Int64)]) throws(KafkaError) {
    guard !partitions.isEmpty else { return }
    try rebalance.check(partitions.map(\.0))
    for (partition, offset) in partitions where offset < 0 {
      throw KafkaError(code: .invalidArgument, message: "assign \(partition): offset \(offset) is negative")
    }
    // A partition that waits for its unassign call must not be assigned before it.
    if postponed.isEmpty { try assignNatively(partitions) } else { try perform(.assign(partitions)) }
    rebalance.accepted(partitions.map(\.0))
  }

  func unassign(_ partitions: [TopicPartition]) throws(KafkaError) {
    for release in rebalance.release(partitions) {
      switch release {
      case .wait: break
      case .giveBack(let list):
        end(list)
        try native.unassign(list)
      case .unassign(let list):
        end(list)
        if rebalance.isRevoking {
          try native.pause(list)
          stalePauses.formUnion(list)
        }
        try perform(.unassign(list))
      }
    }
    performPostponed()
  }

  func pause(_ partitions: [TopicPartition]) throws(KafkaError) {
    let running = partitions.filter { rebalance.assigned.contains($0) && !paused.contains($0) }
    guard !running.isEmpty else { return }
    try native.pause(running)
    paused.formUnion(running)
  }

  /// Only what is paused: librdkafka 2.0 may go back to where the assignment began when it resumes what runs.
  func resume(_ partitions: [TopicPartition]) throws(KafkaError) {
    let stopped = partitions.filter { paused.contains($0) }
    guard !stopped.isEmpty else { return }
    try native.resume(stopped)
    paused.subtract(stopped)
  }

  func seek(_ partition: TopicPartition, to offset: Int64) throws(KafkaError) {
    guard offset >= 0 else {
      throw KafkaError(code: .invalidArgument, message: "seek \(partition): offset \(offset) is negative")
    }
    guard outOfRange.contains(partition) else { return try native.seek(partition, to: offset) }
    outOfRange.remove(partition)
    try perform(.unassign([partition]))
    try perform(.assign([(partition, offset: offset)]))
  }

  func commit(_ offsets: [CommittedOffset], deadline: MonotonicInstant) -> CommitID {
    commitNumber += 1
    let id = CommitID(number: commitNumber)
    if let problem = problem(offsets) {
      deliveries.append(.committed(id, .refused(problem, offsets)))
    } else {
      commits.enqueue(.init(number: commitNumber, offsets: offsets, deadline: deadline))
      issueCommits()
    }
    return id
  }

  private func problem(_ offsets: [CommittedOffset]) -> KafkaError? {
    guard !offsets.isEmpty else { return KafkaError(code: .invalidArgument, message: "commit: no offsets given") }
    for offset in offsets {
      // The broker looks at the generation only, and would take a member's word for another's partition.
      guard rebalance.isOurs(offset.partition) else {
        return KafkaError(
          code: .assignmentLost,
          message: "commit \(offset.partition): the group has not given it to us, or has taken it",
          isRetriable: true)
      }
      guard let value = offset.offset, value >= 0 else {
        return KafkaError(code: .invalidArgument, message: "commit \(offset.partition): no offset, or a negative one")
      }
      guard offset.metadata.utf8.allSatisfy({ 0x20...0x7e ~= $0 }) else {
        return KafkaError(
          code: .invalidArgument, message: "commit \(offset.partition): metadata must be printable ASCII")
      }
    }
    return nil
  }

  func committedOffsets(
    _ partitions: [TopicPartition], timeout: Duration
  ) throws(KafkaError) -> [CommittedOffset] {
    guard !partitions.isEmpty else { return [] }
    return try native.committed(partitions, timeout: timeout)
  }

  func topicIDs(_ topics: [String], timeout: Duration) throws(KafkaError) -> [String: TopicID]? {
    try native.topicIDs(topics, timeout: timeout)
  }

  func watermarks(_ partition: TopicPartition, timeout: Duration) throws(KafkaError) -> (low: Int64, high: Int64) {
    try native.watermarks(partition, timeout: timeout)
  }

  func cachedWatermarks(_ partition: TopicPartition) -> (low: Int64, high: Int64)? {
    native.cachedWatermarks(partition)
  }

  func offsetForStart(_ partition: TopicPartition, timeout: Duration) throws(KafkaError) -> Int64 {
    var start = configuration.start
    if case .assignment(let list) = subscription, let own = list.first(where: { $0.partition == partition }) {
      switch own.start {
      case .offset(let offset): return offset
      case .earliest: start = .earliest
      case .latest: start = .latest
      case .committed:
        if let offset = try committedOffsets([partition], timeout: timeout).first?.offset { return offset }
      }
    }
    switch start {
    case .earliest: return try watermarks(partition, timeout: timeout).low
    case .latest: return try watermarks(partition, timeout: timeout).high
    case .error:
      throw KafkaError(
        code: .offsetOutOfRange,
        message: """
          group \(configuration.group) has no offset for \(partition) and start is `error`: \
          commit one, or start at earliest or latest
          """)
    }
  }

  func stop() { signals.requestStop() }
  func finish() { isFinished = true }
  func renew() { wantsRenewal = true }
}
