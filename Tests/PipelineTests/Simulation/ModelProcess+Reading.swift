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
        hold(block, id, reader)
        readers[id]?.isPaused = true
        perform(actions)
      } else if reader.position >= log.entries.count, log.entries.count <= through {
        perform(machine.truncated(id, moment))
        return false
      }
      return true
    }
    if reader.last != nil, world.random.chance(0.6) { sealOpen(id) }
    return reader.position < log.entries.count || readers[id]?.last != nil
  }

  func sealOpen(_ id: Int) {
    guard var reader = readers[id], !reader.isPaused, reader.through == nil, let last = reader.last else { return }
    let (block, actions) = machine.sealed(id, through: Int64(last), rows: reader.open.count, moment)
    if !reader.open.isEmpty { hold(block, id, reader) }
    reader.open = []
    reader.last = nil
    readers[id] = reader
    if world.plan.breakage == .intents, let made = machine.partitions[id]?.blocks.last, let held = blocks[block] {
      world.after(world.random.below(200)) { [unowned world] in
        _ = world.table.land(
          made.intent.token, held.placement, held.topicPartition, held.version, held.offsets, world.now)
        world.landed(held.topicPartition, held.version, held.offsets)
      }
    }
    perform(actions)
  }

  private func hold(_ number: Int, _ id: Int, _ reader: Reader) {
    let log = world.broker.logs[reader.topicPartition]
    // A log that was made again this very moment holds other records at these offsets.
    if reader.isDead, log.version == 0, reader.open.contains(where: { log.entries[$0] == .record }) {
      world.fail("a record that nobody refuses goes to the dead letters")
    }
    let hasPoison = !reader.isDead && reader.open.contains { log.entries[$0] == .poison }
    blocks[number] = HeldBlock(
      id: id, topicPartition: reader.topicPartition, version: log.version, offsets: reader.open, hasPoison: hasPoison,
      placement: fingerprint)
  }
}
