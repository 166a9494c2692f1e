import Testing

@testable import KafkaClient
@testable import Pipeline

@Suite struct GroupJudgeTests {
  private static let wanted = Set((0..<4).map { TopicPartition("t", $0) })

  private static func group(_ members: [(String, [Int32])]) -> KafkaAdmin.Group {
    KafkaAdmin.Group(
      state: .stable, assignor: "cooperative-sticky",
      members: members.map { name, partitions in
        KafkaAdmin.GroupMember(
          id: "\(name)-00000000-0000-0000-0000-000000000000", clientID: "sinkctl", host: "/127.0.0.1",
          partitions: partitions.map { TopicPartition("t", $0) })
      })
  }

  @Test func aGroupThatHasGivenAllIsLeftAlone() {
    var judge = GroupJudge(instanceID: "a")
    for _ in 0..<10 { #expect(judge.orphans(of: Self.group([("a", [0, 1]), ("b", [2, 3])]), Self.wanted) == nil) }
  }

  @Test func whatIsNobodysTwiceIsSaidByTheFirstMember() {
    let group = Self.group([("a", []), ("b", [2, 3])])
    var (first, second) = (GroupJudge(instanceID: "a"), GroupJudge(instanceID: "b"))
    #expect(first.orphans(of: group, Self.wanted) == nil)
    #expect(second.orphans(of: group, Self.wanted) == nil)
    #expect(first.orphans(of: group, Self.wanted) == [TopicPartition("t", 0), TopicPartition("t", 1)])
    #expect(second.orphans(of: group, Self.wanted) == nil)
  }

  /// The first member may be of another kind, or not able to: then the others act.
  @Test func afterAWhileAnybodySaysIt() {
    let group = Self.group([("a", []), ("b", [2, 3])])
    var judge = GroupJudge(instanceID: "b")
    let said = (0..<4).map { _ in judge.orphans(of: group, Self.wanted) }
    #expect(said == [nil, nil, nil, [TopicPartition("t", 0), TopicPartition("t", 1)]])
  }

  /// A partition that no member can take must not keep the group in rebalances.
  @Test func whatAskingDoesNotChangeIsAskedForLessAndLess() {
    let group = Self.group([("a", []), ("b", [2, 3])])
    var judge = GroupJudge(instanceID: "a")
    let said = (1...30).filter { _ in judge.orphans(of: group, Self.wanted) != nil }
    #expect(said == [2, 6, 14, 30])
  }

  @Test func aRebalanceUnderWayIsNoReason() {
    var judge = GroupJudge(instanceID: "a")
    #expect(judge.orphans(of: Self.group([("a", []), ("b", [2, 3])]), Self.wanted) == nil)
    #expect(judge.orphans(of: Self.group([("a", [0]), ("b", [2, 3])]), Self.wanted) == nil)
    judge.forget()
    #expect(judge.orphans(of: Self.group([("a", [0]), ("b", [2, 3])]), Self.wanted) == nil)
    #expect(judge.orphans(of: Self.group([("a", [0, 1]), ("b", [2, 3])]), Self.wanted) == nil)
  }
}
