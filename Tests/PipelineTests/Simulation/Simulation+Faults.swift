@testable import Pipeline

/// What happens to the world. Every fault is an event; the plan says which are possible and how often.
extension Simulation {
  func scheduleFaults() {
    var time = 300
    while time < plan.activeMilliseconds {
      time += random.between(100, 900)
      after(time) { [unowned self] in produce() }
    }
    for second in 1..<plan.activeMilliseconds / 1000 {
      for index in 0..<plan.processes {
        if random.chance(plan.crashes) {
          after(second * 1000 + random.below(1000)) { [unowned self] in crash(index) }
        }
        if random.chance(plan.stops) {
          after(second * 1000 + random.below(1000)) { [unowned self] in suspend(index) }
        }
        if random.chance(plan.cuts) {
          after(second * 1000 + random.below(1000)) { [unowned self] in cut(index) }
        }
      }
      if random.chance(plan.compaction) { after(second * 1000) { [unowned self] in compact() } }
      if random.chance(plan.deployments) { after(second * 1000) { [unowned self] in deploy() } }
      if random.chance(plan.retention) { after(second * 1000) { [unowned self] in retain() } }
      if random.chance(plan.remaking) { after(second * 1000) { [unowned self] in remake() } }
      if random.chance(plan.foreignCommits) { after(second * 1000) { [unowned self] in commitForeign() } }
    }
  }

  private func produce() {
    guard broker.isTopicThere else { return }
    let partition = random.below(broker.logs.count)
    broker.logs[partition].append(random.between(1, 5), &random, poison: plan.poison)
    for process in processes { process.pollSoon() }
  }

  private func crash(_ index: Int) {
    guard processes[index].isAlive else { return }
    if random.chance(0.25) {
      say("SIGTERM \(index)")
      return processes[index].stopOrderly()
    }
    note("crash")
    say("crash \(index)")
    processes[index].crash()
    let pause = random.chance(0.3) ? random.between(20_000, 150_000) : random.between(100, 8_000)
    after(pause) { [unowned self] in if !processes[index].isAlive { processes[index].start() } }
  }

  private func suspend(_ index: Int) {
    guard processes[index].isAlive, !processes[index].isSuspended else { return }
    note("stop")
    let pause =
      random.chance(plan.longStops)
      ? random.between(10_000, plan.longestStop) : random.between(200, 9_000)
    say("stop \(index) for \(pause)")
    processes[index].suspend()
    let life = processes[index].life
    after(pause) { [unowned self] in
      if processes[index].life == life, processes[index].isSuspended { processes[index].resume() }
    }
  }

  private func cut(_ index: Int) {
    let pause = random.between(500, 12_000)
    note("cut")
    say("cut \(index) off from the broker for \(pause)")
    processes[index].cutUntil = now + pause
    processes[index].silent()
    after(pause) { [unowned self] in processes[index].reconnect() }
  }

  /// A new mapping, one process after the other.
  private func deploy() {
    note("deployment")
    fingerprint += 1
    for index in processes.indices {
      after(random.below(30_000)) { [unowned self] in
        guard processes[index].isAlive, !processes[index].isSuspended else { return }
        processes[index].crash()
        after(random.between(50, 2_000)) { [unowned self] in if !processes[index].isAlive { processes[index].start() } }
      }
    }
  }

  /// Records vanish from the middle of a log; the last ones never do.
  private func compact() {
    let partition = random.below(broker.logs.count)
    let log = broker.logs[partition]
    guard log.entries.count > 4 else { return }
    note("compaction")
    for _ in 0..<3 {
      let offset = random.below(log.entries.count - 2)
      guard broker.logs[partition].entries[offset] != .gap else { continue }
      broker.logs[partition].entries[offset] = .gap
      optional.insert(.init(partition: partition, version: log.version, offset: offset))
    }
  }

  private func retain() {
    let partition = random.below(broker.logs.count)
    let log = broker.logs[partition]
    guard log.entries.count > log.start + 4 else { return }
    note("retention")
    let start = random.between(log.start, log.entries.count - 1)
    for offset in log.start..<start {
      optional.insert(.init(partition: partition, version: log.version, offset: offset))
    }
    broker.logs[partition].start = start
    say("retention: partition \(partition) begins at \(start)")
  }

  /// The topic is deleted, with the group's offsets of it, and made again some seconds later, with longer logs.
  private func remake() {
    guard broker.isTopicThere else { return }
    note("topic made again")
    say("topic deleted")
    broker.isTopicThere = false
    broker.held = [:]
    after(random.between(1_500, 4_000)) { [unowned self] in
      broker.isTopicThere = true
      broker.topicNumber += 1
      for partition in broker.logs.indices {
        var log = ModelLog()
        log.version = broker.logs[partition].version + 1
        log.append(broker.logs[partition].entries.count + random.below(10), &random, poison: plan.poison)
        broker.logs[partition] = log
        if !plan.startsLatest { requiredFrom[partition] = (log.version, 0) }
      }
      say("topic made again")
      for process in processes { process.pollSoon() }
    }
  }

  /// An operator, or another program in the same group.
  private func commitForeign() {
    let partition = random.below(broker.logs.count)
    guard let held = broker.held[partition], held.offset > 0 else { return }
    note("foreign commit")
    say("foreign commit for partition \(partition)")
    broker.held[partition] = .init(
      offset: Int64(random.below(Int(held.offset))), metadata: random.chance(0.5) ? "" : "s1 not ours")
  }
}
