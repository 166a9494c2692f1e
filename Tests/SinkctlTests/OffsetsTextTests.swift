import Foundation
import TestServers
import Testing

@testable import KafkaClient
@testable import Pipeline
@testable import sinkctl

/// What `offsets` and `recover` print, as people see it.
@Suite struct OffsetsTextTests {
  private static let pending = PendingBlock(
    offsets: 1000...1999, rows: 990, declaredAt: 1_800_000_000, age: .seconds(12), token: "t", isDeadLetter: false,
    parts: 1, others: [], windowLeft: .seconds(238), isOfOtherMapping: false)

  private static func partition(
    _ number: Int32, committed: Int64?, _ commit: PartitionOffsets.Commit = .intents, metadata: String = "",
    pending: [PendingBlock] = [], trouble: PartitionOffsets.Trouble? = nil
  ) -> PartitionOffsets {
    PartitionOffsets(
      partition: TopicPartition("events", number), table: "analytics.events", delivery: .exactlyOnce,
      committed: committed, metadata: metadata, commit: commit, pending: pending, done: [], logStart: 0, logEnd: 12_345,
      start: .earliest, trouble: trouble)
  }

  @Test func offsetsAsPeopleSeeThem() {
    let member = KafkaAdmin.GroupMember(
      id: "host-a-f47ac10b-58cc-4372-a567-0e02b2c3d479", clientID: "sinkctl", host: "/10.0.0.7",
      partitions: [TopicPartition("events", 0), TopicPartition("events", 1)])
    let offsets = PipelineOffsets(
      group: "sink", membership: KafkaAdmin.Group(state: .stable, assignor: "cooperative-sticky", members: [member]),
      partitions: [
        Self.partition(0, committed: 1000, pending: [Self.pending]),
        Self.partition(1, committed: 5, .foreign, metadata: "a\u{1B}b", trouble: .foreignCommit),
        Self.partition(2, committed: nil, .none),
      ], notes: ["topic 'x' does not exist, or this user may not see it"])
    #expect(
      OffsetsText.describe(offsets, config: "s.yaml") == """
        group sink: Stable, 1 member
          host-a at 10.0.0.7: events/0,1

        partition  table             committed  log begins  log ends     lag  pending            commit
        events/0   analytics.events      1,000           0    12,345  11,345  1 block, 990 rows  ours
        events/1   analytics.events          5           0    12,345  12,340  -                  of another program
        events/2   analytics.events          -           0    12,345  12,345  -                  none
        lag of all: 36,030

        events/0  offsets 1,000–1,999: 990 rows, declared 12 s ago, may be sent again for 3 min more
        events/1  another program has committed this offset (its metadata is 'a?b')
        events/1  what to do: sinkctl recover --config s.yaml --topic events/1

        note: topic 'x' does not exist, or this user may not see it
        """)
  }

  /// However many partitions it has, a block is told once.
  @Test(arguments: [2, 3]) func aBlockOfSeveralPartitionsIsToldOnce(held: Int) {
    let names = (0..<Int32(held)).map { TopicPartition("events", $0) }
    let partitions = names.map { name in
      Self.partition(
        name.partition, committed: 0,
        pending: [
          PendingBlock(
            offsets: 0...Int64(9 + name.partition), rows: 10 + Int(name.partition), declaredAt: 1, age: .seconds(12),
            token: "t", isDeadLetter: false, parts: 3, others: names.filter { $0 != name },
            windowLeft: held == 3 ? .seconds(60) : .zero, isOfOtherMapping: false)
        ])
    }
    let text = OffsetsText.describe(
      PipelineOffsets(group: "sink", membership: nil, partitions: partitions, notes: []), config: "s.yaml")
    #expect(
      text.hasSuffix(
        held == 3
          ? """


          a block of 3 partitions, declared 12 s ago, may be sent again for 60 s more
              events/0 0–9, events/1 0–10, events/2 0–11: 33 rows
          """
          : """


          a block of 3 partitions (1 no longer has it), declared 12 s ago, nobody can send it whole any more: the next \
          run counts each part first
              events/0 0–9, events/1 0–10: 21 rows
          """), "\(text)")
  }

  @Test func whatBecomesOfABlock() {
    func told(_ change: (inout PendingBlock) -> Void) -> Substring? {
      var block = Self.pending
      change(&block)
      let offsets = PipelineOffsets(
        group: "sink", membership: nil, partitions: [Self.partition(0, committed: 0, pending: [block])], notes: [])
      return OffsetsText.describe(offsets, config: "s.yaml").split(separator: "12 s ago").last
    }
    #expect(told { _ in } == ", may be sent again for 3 min more")
    #expect(told { $0.windowLeft = .zero } == ", too old to be sent again: the next run counts it first")
    #expect(told { $0.windowLeft = nil } == ", how long it may be sent again is not known")
    #expect(told { $0.isOfOtherMapping = true } == ", of another mapping or table: the next run counts it first")
    #expect(told { $0.isCounted = true } == ": the next run counts it, and inserts what is missing")
  }

  @Test func aChoiceAsPeopleSeeIt() {
    let block = BlockPlan(
      block: Self.pending, found: FoundRows(table: 400, deadLetters: 2), outcome: .undecided(lost: 588, doubled: 400))
    let plan = OffsetPlan(
      group: "sink", membership: KafkaAdmin.Group(state: .empty, assignor: "", members: []), steps: [],
      untouched: [
        OffsetPlan.Stay(before: Self.partition(1, committed: 5), reason: "stands there already", blocks: []),
        OffsetPlan.Stay(before: Self.partition(2, committed: 5), reason: "stands there already", blocks: []),
      ],
      refused: [
        OffsetPlan.Stay(
          before: Self.partition(0, committed: 1000), reason: "choose --take-as-landed or --insert-again",
          blocks: [block])
      ], notes: [])
    #expect(
      PlanText.describe(plan, isWritten: false, isWriting: false) == """
        group sink: Empty, nobody is in it

        events/0  offsets 1,000–1,999: 990 rows, declared 12 s ago; 400 in the table, 2 dead letters; --take-as-landed \
        loses 588 rows, --insert-again doubles 400 rows
            neither: ALTER TABLE `analytics`.`events` DELETE WHERE _topic = 'events' AND _partition = 0 AND _offset \
        BETWEEN 1000 AND 1999, then --insert-again
        refused: events/0: choose --take-as-landed or --insert-again
        left as they are: events/1 events/2: stands there already

        Nothing was written, and would not be.
        """)
  }

  /// A count of the table says nothing of its views, and deleting its rows would not take theirs away.
  @Test func aChoiceBeforeMaterializedViews() {
    let block = BlockPlan(
      block: Self.pending, found: FoundRows(table: 990, deadLetters: nil, hasViews: true),
      outcome: .undecided(lost: 0, doubled: 990))
    let stay = OffsetPlan.Stay(before: Self.partition(0, committed: 1000), reason: "choose", blocks: [block])
    let plan = OffsetPlan(group: "sink", membership: nil, steps: [], untouched: [], refused: [stay], notes: [])
    let text = PlanText.describe(plan, isWritten: false, isWriting: false)
    #expect(
      text.contains(
        "; 990 in the table, and what its materialized views have cannot be counted; --take-as-landed loses"))
    #expect(text.contains("neither: compare the materialized views") && !text.contains("DELETE"), "\(text)")
  }

  @Test(
    arguments: [
      ("earliest", .earliest), ("latest", .latest), ("0", .offset(0)), ("17", .offset(17)), ("+5", .shift(5)),
      ("-1000", .shift(-1000)), ("1970-01-01T00:00:01Z", .time(1000)), ("1970-01-01 01:00:00.25+01:00", .time(250)),
      ("2026-11-24T10:00:00.1234567Z", .time(1_795_514_400_123)), ("2026-11-24", .time(1_795_478_400_000)),
    ] as [(String, OffsetReset.Target)])
  func places(text: String, target: OffsetReset.Target) throws {
    #expect(try OffsetArguments.target(text) == target)
  }

  @Test func topicsAndPartitions() throws {
    func selection(_ options: [String: [String]]) throws -> PartitionSelection {
      try OffsetArguments.selection(Arguments(options: options, operands: []))
    }
    #expect(try selection([:]) == .all)
    #expect(try selection(["topic": ["a.b"]]) == PartitionSelection(topic: "a.b"))
    #expect(try selection(["topic": ["a/7"]]) == PartitionSelection(topic: "a", partitions: [7]))
    let listed = try selection(["topic": ["a"], "partitions": ["0,3-5"]])
    #expect(listed == PartitionSelection(topic: "a", partitions: [0, 3, 4, 5]))
    let audited = try AuditCommand.request(Arguments(options: ["topic": ["a/7"]], operands: []))
    #expect(audited.topics == ["a"] && audited.partitions == [7])
    let several = try AuditCommand.request(
      Arguments(options: ["topic": ["a", "b"], "partitions": ["1"]], operands: []))
    #expect(several.topics == ["a", "b"] && several.partitions == [1])
  }

  /// The program against a real broker: the mock cluster answers no admin's question about groups.
  @Test(
    .enabled(if: TestMachine.kafkaScript != nil, "needs Java and SINK_KAFKA_BROKER_SCRIPT"), .timeLimit(.minutes(10)))
  func theProgramShowsAndSetsOffsets() async throws {
    let broker = try await KafkaBroker.start(version: "4.4.0")
    let admin = try KafkaAdmin(brokers: [broker.bootstrap])
    try await admin.createTopic("cli", partitions: 2, within: .patience)
    let producer = try KafkaProducer(KafkaProducerConfiguration(brokers: [broker.bootstrap]))
    for index in 0..<10 { try await producer.send(topic: "cli", partition: Int32(index % 2), value: [1]) }
    await producer.close(within: .seconds(5))
    let directory = try TemporaryDirectory()
    let file = try directory.write(
      "t.yaml",
      """
      kafka: {brokers: ["\(broker.bootstrap)"], group: cli}
      clickhouse: {url: "http://127.0.0.1:1"}
      routes: [{topic: cli, table: t, delivery: at_least_once}]
      """)
    func run(_ words: String...) async throws -> (code: Int32, json: [String: Any]) {
      let result = try await SinkctlProcess.run(words + ["--config", file, "--json"])
      let json = try JSONSerialization.jsonObject(with: Data(result.out.utf8)) as? [String: Any]
      return (result.code, try #require(json, "\(result)"))
    }
    func committed() async throws -> [Int?] {
      let (code, json) = try await run("offsets")
      #expect(code == 0)
      return try #require(json["partitions"] as? [[String: Any]]).map { $0["committed"] as? Int }
    }
    #expect(try await committed() == [nil, nil])
    let dry = try await run("offsets", "reset", "--to", "3", "--topic", "cli/1")
    #expect(dry.code == 0 && dry.json["written"] as? Bool == false)
    #expect(try await committed() == [nil, nil])
    let wet = try await run("offsets", "reset", "--to", "3", "--topic", "cli/1", "--yes")
    #expect(wet.code == 0 && wet.json["written"] as? Bool == true, "\(wet)")
    #expect(try await committed() == [nil, 3])
    let refused = try await run("offsets", "reset", "--to", "+1", "--yes")
    #expect(refused.code == 1 && refused.json["written"] as? Bool == false)
    #expect(try await run("recover").code == 0)
    let wrong = try await SinkctlProcess.run(["offsets", "--config", file, "--topic", "cil"])
    #expect(wrong.code == 78 && wrong.error.contains("no route reads a topic 'cil'; they read cli"), "\(wrong)")
  }
}
