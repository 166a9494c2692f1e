@testable import Pipeline

/// Reading the log, and where blocks end.
extension ModelProcess {
  func pollSoon() {
    guard isAlive, !isPolling else { return }
    isPolling = true
    later(world.random.between(20, 400)) { [unowned self] in poll() }
  }

  func poll() {
    isPolling = false
    guard world.broker.isTopicThere, world.now >= cutUntil else { return pollSoon() }
    var isMore = false
    for id in readers.keys.sorted() {
      if isBlocked {
        isMore = true
        break
      }
      isMore = read(id) || isMore
    }
    if isMore { pollSoon() }
  }

  /// - Returns: whether there is more to read or to seal.
  private func read(_ id: Int) -> Bool {
    guard var reader = readers[id], !reader.isPaused else { return false }
    let log = world.broker.logs[reader.topicPartition]
    if reader.position < log.start {
      perform(machine.outOfRange(id, logStart: Int64(log.start), moment))
      return true
    }
    var left = world.random.between(1, 6)
    while left > 0, reader.position < log.entries.count {
      if let through = reader.through, reader.position > through { break }
      switch log.entries[reader.position] {
      case .gap: break
      case .filtered: reader.last = reader.position
      case .record, .poison:
        reader.last = reader.position
        reader.open.append(reader.position)
        left -= 1
      }
      reader.position += 1
    }
    readers[id] = reader
    if let through = reader.through {
      // A record or the log's end beyond the range says that it is complete.
      if reader.position > through, log.entries.count > through {
        let (block, actions) = machine.collected(id, rows: reader.open.count, moment)
        hold(block, reader)
        readers[id]?.isPaused = true
        perform(actions)
      } else if reader.position >= log.entries.count, log.entries.count <= through {
        perform(machine.truncated(id, moment))
        return false
      }
      return true
    }
    if reader.last != nil, world.random.chance(0.6) {
      let others = readers.keys.sorted().filter { $0 != id && world.random.chance(world.plan.sharing) }
      sealOpen([id] + others)
    }
    return reader.position < log.entries.count || readers[id]?.last != nil
  }

  /// What is open of these: one block of all that have rows where the schedule shares blocks, else one of each.
  func sealOpen(_ ids: [Int]) {
    let ready = ids.filter { id in
      guard let reader = readers[id] else { return false }
      return !reader.isPaused && reader.through == nil && reader.last != nil
    }
    let together = world.plan.sharing > 0 ? ready.filter { readers[$0]?.open.isEmpty == false } : []
    if !together.isEmpty { seal(together) }
    for id in ready where !together.contains(id) && readers[id]?.last != nil { seal([id]) }
  }

  private func seal(_ ids: [Int]) {
    let closed = ids.compactMap { id in readers[id].map { (id, $0) } }
    let cuts = closed.compactMap { id, reader in
      reader.last.map { ExactlyOnceStateMachine.Cut(partition: id, last: Int64($0), rows: reader.open.count) }
    }
    let (block, actions) = machine.sealed(cuts, moment)
    for (id, reader) in closed {
      if !reader.open.isEmpty { hold(block, reader) }
      readers[id]?.open = []
      readers[id]?.last = nil
    }
    let made = machine.partitions[ids[0]]?.blocks.last { $0.number == block }
    if world.plan.breakage == .intents, let made, let held = blocks[block] {
      world.after(world.random.below(200)) { [unowned world] in
        _ = world.table.land(made.intent.token, held.placement, held.rows, isCutShort: false, world.now)
        world.landed(held.rows)
      }
    }
    perform(actions)
  }

  private func hold(_ number: Int, _ reader: Reader) {
    let log = world.broker.logs[reader.topicPartition]
    // A log that was made again this very moment holds other records at these offsets.
    if reader.isDead, log.version == 0, reader.open.contains(where: { log.entries[$0] == .record }) {
      world.fail("a record that nobody refuses goes to the dead letters")
    }
    if blocks[number] == nil {
      lastSerial += 1
      blocks[number] = HeldBlock(serial: lastSerial, placement: fingerprint)
    }
    blocks[number]?.parts += 1
    blocks[number]?.rows += reader.open.map {
      .init(partition: reader.topicPartition, version: log.version, offset: $0)
    }
    if !reader.isDead, reader.open.contains(where: { log.entries[$0] == .poison }) { blocks[number]?.hasPoison = true }
  }
}
