internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// Finds partitions that the group has given to nobody, and makes it share them out again.
///
/// A cooperative rebalance takes two rounds: members give partitions back, and whoever did joins again so that others get
/// them. A static member that dies between the two and is back within its session gets the rest of its partitions without
/// a rebalance (KIP-345); nobody joins again, the group is stable, and what had been given back is read by nobody until
/// the next change of its members. No client notices, so one asks the group; a member that comes and goes starts the
/// round that is missing.
struct GroupWatch: Sendable {
  private static let patience = Duration.seconds(10)

  let configuration: KafkaConsumerConfiguration
  /// Names and patterns.
  let topics: [String]
  let interval: Duration
  let logger: Logger

  /// Until the task is cancelled.
  func run() async {
    guard configuration.instanceID != nil,
      let admin = try? KafkaAdmin(
        brokers: configuration.brokers, security: configuration.security,
        properties: configuration.connectionProperties, clientID: configuration.clientID, logger: configuration.logger)
    else { return }
    var judge = GroupJudge(instanceID: configuration.instanceID ?? "")
    while (try? await Task.sleep(for: interval)) != nil {
      guard let group = try? await admin.describeGroup(configuration.group, within: Self.patience),
        group.state == .stable, let wanted = await partitions(admin)
      else {
        judge.forget()
        continue
      }
      guard let orphans = judge.orphans(of: group, wanted) else { continue }
      logger.warning(
        "the group has given partitions to nobody; a member that comes and goes makes it share them out again",
        ["group": configuration.group, "partitions": "\(orphans)"])
      await nudge()
    }
  }

  /// Those that the routes take; nil where nobody can say.
  private func partitions(_ admin: KafkaAdmin) async -> Set<TopicPartition>? {
    let patterns = topics.filter { $0.hasPrefix("^") }.compactMap { try? TopicPattern($0) }
    var known: [KafkaAdmin.Topic] = []
    if patterns.isEmpty {
      for name in topics {
        guard let cluster = try? await admin.metadata(topic: name, within: Self.patience) else { return nil }
        known += cluster.topics
      }
    } else {
      guard let cluster = try? await admin.metadata(within: Self.patience) else { return nil }
      known = cluster.topics.filter { topic in
        topics.contains(topic.name) || patterns.contains { $0.matches(topic.name) }
      }
    }
    return Set(known.flatMap { topic in topic.partitions.map { TopicPartition(topic.name, $0.partition) } })
  }

  private func nudge() async {
    var visitor = configuration
    visitor.instanceID = nil
    guard let consumer = try? KafkaConsumer(visitor) else { return }
    try? await consumer.run(.topics(topics), Visitor())
  }
}

/// Says when partitions are nobody's for longer than a rebalance takes. A value.
struct GroupJudge {
  private struct Sight: Equatable {
    let members: [String]
    let orphans: Set<TopicPartition>
  }

  let instanceID: String
  private var last: Sight?
  private var times = 0
  /// What asking for a round has not changed, and how often it was asked for: each time after twice as long, or a
  /// partition that no member can take would keep the group in rebalances.
  private var asked: (orphans: Set<TopicPartition>, count: Int) = ([], 0)

  init(instanceID: String) { self.instanceID = instanceID }

  mutating func forget() {
    last = nil
    times = 0
  }

  /// - Returns: what is nobody's, where the group has looked the same at least twice and it is ours to act: first the
  ///   member whose instance id comes first, after a while anybody.
  mutating func orphans(of group: KafkaAdmin.Group, _ wanted: Set<TopicPartition>) -> [TopicPartition]? {
    let orphans = wanted.subtracting(group.members.flatMap(\.partitions))
    let sight = Sight(members: group.members.map(\.id).sorted(), orphans: orphans)
    times = sight == last ? times + 1 : 1
    last = sight
    let isFirst = group.members.compactMap(\.instanceID).min() == instanceID
    if asked.orphans != orphans { asked = (orphans, 0) }
    guard !orphans.isEmpty, times >= (isFirst ? 2 : 4) << min(asked.count, 7) else { return nil }
    asked.count += 1
    forget()
    return orphans.sorted()
  }
}

/// Joins the group, reads nothing, and leaves.
private struct Visitor: ConsumerHandler, Sendable {
  private static let patience = Duration.seconds(30)
  private var end: MonotonicInstant?

  mutating func started(_ control: borrowing ConsumerControl) { end = control.now + Self.patience }
  mutating func assigned(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) { control.finish() }
  mutating func records(_ batch: borrowing RecordBatch, _ control: borrowing ConsumerControl) {}
  mutating func revoked(
    _ partitions: [TopicPartition], deadline: MonotonicInstant, _ control: borrowing ConsumerControl
  ) { control.finish() }
  mutating func lost(_ partitions: [TopicPartition], _ control: borrowing ConsumerControl) { control.finish() }
  mutating func committed(_ commit: CommitID, _ result: CommitResult, _ control: borrowing ConsumerControl) {}
  mutating func tick(_ now: MonotonicInstant, _ control: borrowing ConsumerControl) -> MonotonicInstant? {
    if let end, now >= end { control.finish() }
    return nil
  }
  mutating func stopping(deadline: MonotonicInstant, _ control: borrowing ConsumerControl) { control.finish() }
}
