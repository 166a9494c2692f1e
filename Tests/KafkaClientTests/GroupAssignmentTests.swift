import Testing

@testable import KafkaClient

@Suite struct GroupAssignmentTests {
  /// Version 1; topic "ab" with partitions 0 and 258; no user data.
  static let golden: [UInt8] = [
    0, 1, 0, 0, 0, 1, 0, 2, 0x61, 0x62, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2, 255, 255, 255, 255,
  ]

  @Test func topicsAndPartitionsAreRead() {
    #expect(GroupAssignment(Self.golden)?.partitions == [TopicPartition("ab", 0), TopicPartition("ab", 258)])
    #expect(GroupAssignment([])?.partitions == [])
  }

  @Test func whatIsCutIsNone() {
    for length in 1..<Self.golden.count - 4 { #expect(GroupAssignment(Array(Self.golden.prefix(length))) == nil) }
    #expect(GroupAssignment([0, 1, 255, 255, 255, 255]) == nil)
  }

  @Test func aStaticMemberIsNamedByItsID() {
    func instance(_ id: String) -> String? {
      KafkaAdmin.GroupMember(id: id, clientID: "sinkctl", host: "", partitions: []).instanceID
    }
    let uuid = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
    #expect(instance("host-1-\(uuid)") == "host-1")
    #expect(instance("sinkctl-\(uuid)") == nil)
    #expect(instance("short") == nil)
  }
}
