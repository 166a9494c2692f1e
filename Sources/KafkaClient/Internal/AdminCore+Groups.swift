internal import CRdKafka
internal import SinkThreads

/// Consumer groups, and where their logs begin and end.
extension AdminCore {
  func committedOffsets(
    group: String, _ partitions: [TopicPartition], within timeout: Duration
  ) async throws(KafkaError) -> [CommittedOffset] {
    let subject = "committed offsets of group \(group)"
    return try await offloadToCoordinator { (self, deadline) throws(KafkaError) in
      let list = NativePartitionList(partitions)
      let question = unsafe rd_kafka_ListConsumerGroupOffsets_new(group, list.pointer)
      defer { unsafe rd_kafka_ListConsumerGroupOffsets_destroy(question) }
      let event = try unsafe self.answer(
        subject, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, deadline
      ) { options, queue in
        var list: OpaquePointer? = unsafe question
        unsafe withUnsafeMutablePointer(to: &list) { list in
          unsafe rd_kafka_ListConsumerGroupOffsets(self.handle, list, 1, options, queue)
        }
      }
      defer { unsafe rd_kafka_event_destroy(event) }
      var count = 0
      guard
        let result = unsafe rd_kafka_event_ListConsumerGroupOffsets_result(event),
        let groups = unsafe rd_kafka_ListConsumerGroupOffsets_result_groups(result, &count), count > 0
      else { return [] }
      try unsafe Self.throwError(rd_kafka_group_result_error(groups[0]), subject)
      return unsafe NativePartitionList.offsets(of: rd_kafka_group_result_partitions(groups[0]), subject)
    }(timeout)
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

  func describeGroup(_ group: String, within timeout: Duration) async throws(KafkaError) -> KafkaAdmin.Group {
    let subject = "describe group \(group)"
    return try await offloadToCoordinator { (self, deadline) throws(KafkaError) in
      let event = try unsafe self.answer(
        subject, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, deadline
      ) { options, queue in
        unsafe group.withCString { name in
          var list: UnsafePointer<CChar>? = unsafe name
          unsafe withUnsafeMutablePointer(to: &list) { list in
            unsafe rd_kafka_DescribeConsumerGroups(self.handle, list, 1, options, queue)
          }
        }
      }
      defer { unsafe rd_kafka_event_destroy(event) }
      var count = 0
      guard
        let result = unsafe rd_kafka_event_DescribeConsumerGroups_result(event),
        let groups = unsafe rd_kafka_DescribeConsumerGroups_result_groups(result, &count), count > 0,
        let found = unsafe groups[0]
      else { return KafkaAdmin.Group(state: .unknown, assignor: "", members: []) }
      try unsafe Self.throwError(rd_kafka_ConsumerGroupDescription_error(found), subject)
      let members = unsafe (0..<rd_kafka_ConsumerGroupDescription_member_count(found)).compactMap { index in
        unsafe rd_kafka_ConsumerGroupDescription_member(found, index).map { unsafe Self.member($0) }
      }
      return unsafe KafkaAdmin.Group(
        state: Self.state(rd_kafka_ConsumerGroupDescription_state(found)),
        assignor: Self.text(rd_kafka_ConsumerGroupDescription_partition_assignor(found)) ?? "", members: members)
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

  @unsafe private static func member(_ member: OpaquePointer) -> KafkaAdmin.GroupMember {
    let assignment = unsafe rd_kafka_MemberDescription_assignment(member)
    let partitions = unsafe assignment.flatMap { unsafe rd_kafka_MemberAssignment_partitions($0) }
    return unsafe KafkaAdmin.GroupMember(
      id: text(rd_kafka_MemberDescription_consumer_id(member)) ?? "",
      instanceID: text(rd_kafka_MemberDescription_group_instance_id(member)),
      clientID: text(rd_kafka_MemberDescription_client_id(member)) ?? "",
      host: text(rd_kafka_MemberDescription_host(member)) ?? "",
      partitions: NativePartitionList.partitions(of: partitions).sorted())
  }

  private static func state(_ state: rd_kafka_consumer_group_state_t) -> KafkaAdmin.GroupState {
    switch state {
    case RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE: .preparingRebalance
    case RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE: .completingRebalance
    case RD_KAFKA_CONSUMER_GROUP_STATE_STABLE: .stable
    case RD_KAFKA_CONSUMER_GROUP_STATE_DEAD: .dead
    case RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY: .empty
    default: .unknown
    }
  }

  @unsafe private static func text(_ words: UnsafePointer<CChar>?) -> String? {
    guard let words = unsafe words else { return nil }
    let text = unsafe String(cString: words)
    return text.isEmpty ? nil : text
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
