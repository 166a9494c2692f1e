import SinkThreads

@testable import Pipeline

/// Membership, as librdkafka and the coordinator play it.
extension ModelProcess {
  func openHandle() {
    world.handleCount += 1
    let new = ModelHandle(number: world.handleCount, process: self)
    handle = new
    // Whoever was there under our name is not heard of any more until the new handle joins.
    silent()
    later(world.random.between(20, 500)) { [unowned self] in join(new) }
  }

  /// The coordinator hears nothing of us from now on.
  func silent() {
    silences += 1
    let number = silences
    let index = index
    world.after(world.plan.session + world.random.below(300)) { [unowned world] in
      guard world.processes[index].silences == number, let member = world.broker.members[index] else { return }
      world.say("session of \(index) ends")
      world.note("session ended")
      let lostHandle = member.handle
      let isNew = world.broker.remove(instance: index)
      if let handle = world.processes[index].handle, handle.number == lostHandle {
        world.processes[index].hearOfEviction(handle)
      }
      if isNew { world.notifyRebalance() }
      world.completeJoin()
    }
  }

  /// Heartbeats arrive again.
  func reconnect() {
    guard isAlive, !isSuspended, world.now >= cutUntil, let handle else { return }
    if world.broker.members[index]?.handle == handle.number {
      silences += 1
      if world.broker.isPreparing { hearOfRebalance(handle) }
    }
  }

  private func hearOfEviction(_ handle: ModelHandle) {
    later(max(world.random.below(500), cutUntil - world.now + 1)) { [unowned self] in evicted(handle) }
  }

  func evicted(_ handle: ModelHandle) {
    guard handle.isCurrent, world.broker.members[index]?.id != handle.member else { return }
    handle.epoch += 1
    world.note("lost")
    lost()
  }

  private func join(_ handle: ModelHandle) {
    guard handle.isCurrent else { return }
    guard world.now >= cutUntil else {
      return later(cutUntil - world.now + 1) { [unowned self] in join(handle) }
    }
    silences += 1
    switch world.broker.join(instance: index, handle: handle.number, owned: handle.owned) {
    case .takenOver(let member, let generation, let partitions):
      handle.member = member
      world.note("taken over")
      later(world.random.between(1, 20)) { [unowned self] in synchronized(handle, generation, partitions) }
    case .rebalance(let member, let isNew):
      handle.member = member
      handle.isJoining = true
      if isNew { world.notifyRebalance() }
      world.completeJoin()
    }
  }

  func hearOfRebalance(_ handle: ModelHandle) {
    later(max(world.random.below(500), cutUntil - world.now + 1)) { [unowned self] in
      guard handle.isCurrent, world.broker.isPreparing, let member = world.broker.members[index],
        member.id == handle.member, !member.isJoined, handle.askedBack.isEmpty
      else { return }
      join(handle)
    }
  }

  func synchronized(_ handle: ModelHandle, _ generation: Int, _ partitions: Set<Int>) {
    guard handle.isCurrent else { return }
    handle.isJoining = false
    handle.generation = generation
    let gone = handle.owned.subtracting(partitions)
    let new = partitions.subtracting(handle.owned)
    handle.owned = handle.owned.union(partitions)
    if !gone.isEmpty { ask(gone, handle) }
    if handle.isCurrent, !new.isEmpty { assigned(new) }
    if handle.isCurrent { handle.issue() }
  }

  private func ask(_ gone: Set<Int>, _ handle: ModelHandle) {
    world.note("revoked")
    handle.epoch += 1
    handle.askedBack = gone
    let deadline = world.now + world.plan.session / 2
    later(world.plan.session / 2) { [unowned self] in
      guard handle.isCurrent, !handle.askedBack.isEmpty else { return }
      world.note("a drain was late")
      lost()
    }
    revoked(gone, deadline: deadline)
  }

  func giveBack(_ gone: Set<Int>) {
    guard let handle, !handle.askedBack.isEmpty else { return }
    handle.owned.subtract(gone)
    handle.askedBack.subtract(gone)
    if handle.askedBack.isEmpty { later(world.random.between(1, 20)) { [unowned self] in join(handle) } }
  }

  func serveCommits() { handle?.due(moment.monotonic) }
}

extension Simulation {
  func notifyRebalance() {
    for process in processes where process.isAlive {
      if let handle = process.handle, broker.members[process.index]?.handle == handle.number {
        process.hearOfRebalance(handle)
      }
    }
  }

  func completeJoin() {
    guard broker.completeIfAllJoined() else { return }
    let generation = broker.generation
    say("generation \(generation): \(broker.assignment)")
    for (index, member) in broker.members.sorted(by: { $0.key < $1.key }) {
      let process = processes[index]
      guard let handle = process.handle, handle.number == member.handle else { continue }
      let partitions = broker.assignment[index] ?? []
      process.later(random.between(1, 30)) { process.synchronized(handle, generation, partitions) }
    }
  }
}
