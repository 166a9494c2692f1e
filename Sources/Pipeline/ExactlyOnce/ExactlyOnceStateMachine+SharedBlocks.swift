internal import SinkThreads

/// Blocks that hold ranges of several partitions, so that many thin partitions make few large inserts.
///
/// Each partition's commit names its own range, with the block's token and the number of its parts. Such a block is sent
/// only by a handle that has claimed every one of them: so whoever claims one partition knows that all who can send the
/// block are its former owners, who fall silent in time, as with a block of its own. A handle that sees only some of the
/// parts counts these in the table, and what is not there becomes a block of its own.
extension ExactlyOnceStateMachine {
  private struct Part {
    let id: Int
    let index: Int
    let block: PartitionDelivery.Block
    /// Nothing here speaks against sending the block.
    let isFit: Bool
  }

  mutating func takeOver(
    _ partition: inout PartitionDelivery, _ held: PartitionDelivery.Snapshot?, _ start: Int64
  ) throws(DeliveryFault) {
    try partition.takeOver(held, start: start, number: &lastNumber)
    for index in partition.blocks.indices where partition.blocks[index].intent.isShared {
      let token = partition.blocks[index].intent.token
      let known = partitions.values.lazy.flatMap(\.blocks).first { $0.intent.isShared && $0.intent.token == token }
      if let known { partition.blocks[index].number = known.number }
    }
  }

  /// Decides about each shared block by all of its parts that this handle has.
  mutating func settleShared(_ now: Moment, _ actions: inout [DeliveryAction]) {
    gathering = nil
    var numbers: Set<Int> = []
    for partition in partitions.values {
      for block in partition.blocks where block.intent.isShared && block.stage != .done { numbers.insert(block.number) }
    }
    guard !numbers.isEmpty else { return }
    // Those that are still being claimed may have the rest.
    let mayGrow = partitions.values.contains { ($0.phase == .reading || $0.phase == .claiming) && !$0.isDraining }
    for number in numbers.sorted() {
      let parts = parts(of: number, now)
      guard let first = parts.first else { continue }
      if parts.count == first.block.intent.parts, parts.allSatisfy(\.isFit) {
        prepare(number, parts, now, &actions)
      } else if !mayGrow || !parts.allSatisfy({ $0.isFit && !$0.block.isHeld }) {
        breakUp(number, parts, now, &actions)
      }
    }
  }

  private func parts(of number: Int, _ now: Moment) -> [Part] {
    partitions.keys.sorted().compactMap { id in
      guard let partition = partitions[id], partition.phase == .active,
        let index = partition.blocks.firstIndex(where: {
          $0.number == number && $0.intent.isShared && $0.stage != .done
        })
      else { return nil }
      let block = partition.blocks[index]
      return Part(id: id, index: index, block: block, isFit: partition.canShare(block, now))
    }
  }

  /// All parts are ours: it goes as one, once all are held and declared.
  private mutating func prepare(_ number: Int, _ parts: [Part], _ now: Moment, _ actions: inout [DeliveryAction]) {
    for part in parts {
      switch part.block.stage {
      case .waiting: break
      case .resolving: partitions[part.id]?.blocks[part.index].stage = .waiting
      case .inserting, .counting, .done: return
      }
    }
    if !parts.allSatisfy(\.block.isHeld) {
      if gathering == nil { gathering = number }
    } else if parts.allSatisfy({ $0.block.intent.rows == 0 }) {
      for part in parts { partitions[part.id]?.finish(part.index) }
    } else if parts.allSatisfy({ $0.block.isDeclared && $0.block.isConfirmed }) {
      let lastSends = parts.compactMap { partitions[$0.id]?.lastSend($0.block.intent, now) }
      for part in parts { partitions[part.id]?.blocks[part.index].stage = .inserting }
      actions.append(
        .insert(
          block: number, token: parts[0].block.intent.token, notAfter: lastSends.min() ?? now.monotonic))
    }
  }

  /// It cannot go as one any more: each part for itself. One that may have been sent is looked for in the table.
  private mutating func breakUp(_ number: Int, _ parts: [Part], _ now: Moment, _ actions: inout [DeliveryAction]) {
    if parts.contains(where: \.block.isHeld) { actions.append(.cancel(block: number)) }
    for part in parts {
      switch part.block.stage {
      case .waiting, .inserting:
        // What was given up stands in the group's commit: it is the next owner's to settle.
        guard var partition = partitions[part.id], !partition.hasGivenUp else { continue }
        if part.block.stage == .waiting, !part.block.isUncertain {
          partition.startAgain(part.index, number: &lastNumber)
        } else {
          partition.resolve(part.index, now, rules)
        }
        partitions[part.id] = partition
      case .resolving, .counting, .done: break
      }
    }
  }
}

extension PartitionDelivery {
  /// Whether nothing of this partition speaks against sending the shared block.
  fileprivate func canShare(_ block: Block, _ now: Moment) -> Bool {
    guard !hasGivenUp, block.isHeld || !isDraining && block.isUncertain, !block.isRefused, block.logStart == nil else {
      return false
    }
    return block.stage == .inserting || !block.isUncertain || !isForeignMade && !isOld(block.intent, now)
  }
}
