internal import CRdKafka
internal import SinkThreads

/// Consumer groups, and where their logs begin and end.
extension AdminCore {
  /// Asks with the handle of a consumer that subscribes to nothing and so joins nothing: librdkafka's own
  /// ListConsumerGroupOffsets goes to the coordinator as DescribeConsumerGroups does, which aborts the process when an
  /// answer comes after its time-out (librdkafka issue 4605), and times out on the mock cluster of 2.0.2.
  func committedOffsets(
    group: String, _ partitions: [TopicPartition], within timeout: Duration
  ) async throws(KafkaError) -> [CommittedOffset] {
    let subject = "committed offsets of group \(group)"
    guard !partitions.isEmpty else { return [] }
    return try await offload { (self, deadline) throws(KafkaError) in
      let reader = try AdminCore(readerOf: group, self)
      while true {
        let list = NativePartitionList(partitions)
        let slice = max(.milliseconds(1), min(.seconds(1), deadline - self.clock.monotonic()))
        let code = unsafe rd_kafka_committed(reader.handle, list.pointer, slice.milliseconds)
        try reader.throwRefusal(subject)
        if code == RD_KAFKA_RESP_ERR_NO_ERROR {
          let found = list.offsets(subject)
          guard found.contains(where: { $0.error?.isRetriable == true }), self.clock.monotonic() < deadline else {
            return found
          }
        } else if code != RD_KAFKA_RESP_ERR__WAIT_COORD || self.clock.monotonic() >= deadline {
          try reader.throwIfHopeless(code, subject, deadline)
        }
        _ = unsafe rd_kafka_poll(reader.handle, 50)
      }
    }(timeout)
  }

  /// A consumer that finds no coordinator goes on looking, also where it may not; why is in its queue of messages.
  private func throwRefusal(_ subject: String) throws(KafkaError) {
    serveCallbacks()
    while let message = unsafe rd_kafka_consumer_poll(handle, 0) {
      defer { unsafe rd_kafka_message_destroy(message) }
      let error = unsafe KafkaError(message.pointee.err, subject)
      if error.code == .authorization { throw error }
    }
  }

  func alterCommittedOffsets(
    group: String, _ offsets: [CommittedOffset], within timeout: Duration
  ) async throws(KafkaError) -> [CommittedOffset] {
    let subject = "set offsets of group \(group)"
    return try await offloadToCoordinator { (self, deadline) throws(KafkaError) in
      let list = NativePartitionList(capacity: offsets.count)
      for offset in offsets { list.add(offset.partition, offset: offset.offset, metadata: offset.metadata) }
      let change = unsafe rd_kafka_AlterConsumerGroupOffsets_new(group, list.pointer)
      defer { unsafe rd_kafka_AlterConsumerGroupOffsets_destroy(change) }
      let event = try unsafe self.answer(
        subject, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, deadline
      ) { options, queue in
        var list: OpaquePointer? = unsafe change
        unsafe withUnsafeMutablePointer(to: &list) { list in
          unsafe rd_kafka_AlterConsumerGroupOffsets(self.handle, list, 1, options, queue)
        }
      }
      defer { unsafe rd_kafka_event_destroy(event) }
      var count = 0
      guard
        let result = unsafe rd_kafka_event_AlterConsumerGroupOffsets_result(event),
        let groups = unsafe rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &count), count > 0
      else { return [] }
      try unsafe Self.throwError(rd_kafka_group_result_error(groups[0]), subject)
      let written = unsafe NativePartitionList.offsets(of: rd_kafka_group_result_partitions(groups[0]), subject)
      if let busy = written.compactMap(\.error).first(where: Self.isBusyCoordinator) { throw busy }
      return written
    }(timeout)
  }

  /// Asks with `rd_kafka_list_groups`: librdkafka's newer DescribeConsumerGroups aborts the process when an answer comes
  /// after its time-out (librdkafka issue 4605, open), and this question is asked all through a run.
  func describeGroup(_ group: String, within timeout: Duration) async throws(KafkaError) -> KafkaAdmin.Group {
    let subject = "describe group \(group)"
    return try await offloadToCoordinator { (self, deadline) throws(KafkaError) in
      while true {
        var list: UnsafePointer<rd_kafka_group_list>?
        let slice = max(.milliseconds(1), min(.seconds(5), deadline - self.clock.monotonic()))
        let code = unsafe rd_kafka_list_groups(self.handle, group, &list, slice.milliseconds)
        self.serveCallbacks()
        defer { if let list = unsafe list { unsafe rd_kafka_group_list_destroy(list) } }
        // Not every broker need answer: the one that knows the group does, or says that it knows none.
        if let found = unsafe list?.pointee, unsafe found.group_cnt > 0 {
          let info = unsafe found.groups[0]
          guard unsafe info.err == RD_KAFKA_RESP_ERR_NO_ERROR else { throw unsafe KafkaError(info.err, subject) }
          return unsafe Self.group(info)
        }
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else {
          return KafkaAdmin.Group(state: .dead, assignor: "", members: [])
        }
        try self.throwIfHopeless(code, subject, deadline)
        _ = unsafe rd_kafka_poll(self.handle, 100)
      }
    }(timeout)
  }

  func offsets(
    _ partitions: [TopicPartition], at position: LogPosition, within timeout: Duration
  ) async throws(KafkaError) -> [CommittedOffset] {
    let subject = "offsets in the logs"
    guard !partitions.isEmpty else { return [] }
    return try await offload { (self, deadline) throws(KafkaError) in
      while true {
        let list = NativePartitionList(capacity: partitions.count)
        for partition in partitions { list.add(partition, offset: position.timestamp) }
        let slice = max(.milliseconds(1), min(.seconds(5), deadline - self.clock.monotonic()))
        let code = unsafe rd_kafka_offsets_for_times(self.handle, list.pointer, slice.milliseconds)
        self.serveCallbacks()
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
          try self.throwIfHopeless(code, subject, deadline)
          _ = unsafe rd_kafka_poll(self.handle, 100)
          continue
        }
        let found = list.offsets(subject)
        guard found.contains(where: { $0.error?.isRetriable == true }), self.clock.monotonic() < deadline else {
          return found
        }
        _ = unsafe rd_kafka_poll(self.handle, 100)
      }
    }(timeout)
  }

  /// As `offload`, and again while the group's coordinator starts or moves: nothing is done then.
  private func offloadToCoordinator<Result: Sendable>(
    _ body: @escaping @Sendable (AdminCore, MonotonicInstant) throws(KafkaError) -> Result
  ) -> (Duration) async throws(KafkaError) -> Result {
    offload { (self, deadline) throws(KafkaError) in
      while true {
        do throws(KafkaError) {
          return try body(self, deadline)
        } catch {
          guard Self.isBusyCoordinator(error), self.clock.monotonic() < deadline else { throw error }
          _ = unsafe rd_kafka_poll(self.handle, 100)
        }
      }
    }
  }

  private static func isBusyCoordinator(_ error: KafkaError) -> Bool {
    [
      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
      RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    ].contains { $0.rawValue == error.nativeCode }
  }

  /// - Parameter error: librdkafka's, which stays its own; nil: none.
  @unsafe private static func throwError(_ error: OpaquePointer?, _ subject: String) throws(KafkaError) {
    guard let error = unsafe error else { return }
    let code = unsafe rd_kafka_error_code(error)
    guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
    throw unsafe KafkaError(code, subject, detail: String(cString: rd_kafka_error_string(error)))
  }

  @unsafe private static func group(_ info: rd_kafka_group_info) -> KafkaAdmin.Group {
    let members = unsafe (0..<Int(info.member_cnt)).map { unsafe member(info.members[$0]) }
    return unsafe KafkaAdmin.Group(
      state: KafkaAdmin.GroupState(rawValue: text(info.state)) ?? .unknown, assignor: text(info.protocol),
      members: members)
  }

  @unsafe private static func member(_ info: rd_kafka_group_member_info) -> KafkaAdmin.GroupMember {
    let assignment = unsafe UnsafeRawBufferPointer(
      start: info.member_assignment, count: Int(info.member_assignment_size))
    return unsafe KafkaAdmin.GroupMember(
      id: text(info.member_id), clientID: text(info.client_id), host: text(info.client_host),
      partitions: (GroupAssignment(Array(assignment))?.partitions ?? []).sorted())
  }

  @unsafe private static func text(_ words: UnsafePointer<CChar>?) -> String {
    unsafe words.map { unsafe String(cString: $0) } ?? ""
  }
}

extension LogPosition {
  /// As a ListOffsets request spells it.
  var timestamp: Int64 {
    switch self {
    case .earliest: -2
    case .latest: -1
    case .time(let milliseconds): max(0, milliseconds)
    }
  }
}
