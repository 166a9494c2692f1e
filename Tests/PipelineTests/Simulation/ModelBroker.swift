@testable import Pipeline

/// A Kafka group's coordinator with its offsets, and the logs: classic protocol, static members, cooperative assignment.
struct ModelBroker {
  struct Member {
    var id: Int
    var handle: Int
    var isJoined = false
    /// What it said it reads when it joined.
    var owned: Set<Int> = []
  }

  struct Held: Equatable {
    var offset: Int64
    var metadata: String
  }

  enum CommitError: Equatable {
    case unknownMember
    case fenced
    case illegalGeneration
    case rebalance
    case unknownTopic
    case oneRefused
  }

  var logs: [ModelLog]
  var isTopicThere = true
  /// Grows when the topic is deleted and made again.
  var topicNumber = 0
  var topicLineage: UInt64 { DeliveryTarget.identifiedBit | UInt64(topicNumber) << 32 }
  /// By instance id, which is the process's number.
  var members: [Int: Member] = [:]
  var generation = 0
  var isPreparing = false
  var assignment: [Int: Set<Int>] = [:]
  var held: [Int: Held] = [:]
  private var lastMember = 0

  init(logs: [ModelLog]) { self.logs = logs }

  enum JoinAnswer {
    /// A static member came back: same generation, same partitions.
    case takenOver(member: Int, generation: Int, Set<Int>)
    /// Everybody has to join; `isNew` where this very call began it.
    case rebalance(member: Int, isNew: Bool)
  }

  mutating func join(instance: Int, handle: Int, owned: Set<Int>) -> JoinAnswer {
    if var member = members[instance] {
      if member.handle != handle {
        lastMember += 1
        member.id = lastMember
        member.handle = handle
        member.owned = owned
        member.isJoined = isPreparing
        members[instance] = member
        let isComplete = assignment.values.reduce(0) { $0 + $1.count } == logs.count
        if !isPreparing, !isComplete {
          prepare()
          members[instance]?.isJoined = true
          return .rebalance(member: member.id, isNew: true)
        }
        guard isPreparing else {
          return .takenOver(member: member.id, generation: generation, assignment[instance] ?? [])
        }
        return .rebalance(member: member.id, isNew: false)
      }
      let isNew = !isPreparing
      if isNew { prepare() }
      members[instance]?.isJoined = true
      members[instance]?.owned = owned
      return .rebalance(member: member.id, isNew: isNew)
    }
    lastMember += 1
    let isNew = !isPreparing
    if isNew { prepare() }
    members[instance] = Member(id: lastMember, handle: handle, isJoined: true, owned: owned)
    return .rebalance(member: lastMember, isNew: isNew)
  }

  private mutating func prepare() {
    isPreparing = true
    for instance in members.keys { members[instance]?.isJoined = false }
  }

  /// - Returns: whether the others have to join again.
  mutating func remove(instance: Int) -> Bool {
    members[instance] = nil
    assignment[instance] = nil
    guard !members.isEmpty else {
      isPreparing = false
      return false
    }
    let isNew = !isPreparing
    if isNew { prepare() }
    return isNew
  }

  /// Once all have joined: a new generation. A partition that moves stays without an owner until the one who has it gives
  /// it back, which makes him join again.
  mutating func completeIfAllJoined() -> Bool {
    guard isPreparing, members.values.allSatisfy(\.isJoined) else { return false }
    isPreparing = false
    generation += 1
    let instances = members.keys.sorted()
    let most = (logs.count + instances.count - 1) / instances.count
    var new: [Int: Set<Int>] = [:]
    var free: [Int] = []
    for partition in logs.indices {
      if let owner = instances.first(where: { members[$0]?.owned.contains(partition) == true }) {
        if new[owner, default: []].count < most { new[owner, default: []].insert(partition) }
      } else {
        free.append(partition)
      }
    }
    for partition in free {
      guard let least = instances.min(by: { (new[$0]?.count ?? 0, $0) < (new[$1]?.count ?? 0, $1) }) else { break }
      new[least, default: []].insert(partition)
    }
    assignment = new
    return true
  }

  /// The broker checks who asks and in which generation, never whose the partitions are.
  func validate(instance: Int, member: Int, generation stamped: Int) -> CommitError? {
    guard let known = members[instance] else { return .unknownMember }
    if known.id != member { return .fenced }
    if stamped != generation { return .illegalGeneration }
    return isTopicThere ? nil : .unknownTopic
  }
}
