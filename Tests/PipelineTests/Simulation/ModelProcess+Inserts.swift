import SinkThreads

@testable import Pipeline

/// The inserter, and the ways to a table that may have taken what it does not confirm.
extension ModelProcess {
  func trySend(_ number: Int) {
    guard let block = blocks[number], let token = block.token else { return }
    let now = moment.monotonic
    if now >= block.notAfter {
      world.note("expired")
      return end(number, .expired)
    }
    if now >= machine.lease, world.plan.breakage != .lease {
      world.note("held by the lease")
      later(100) { [unowned self] in trySend(number) }
      return
    }
    send(number, block, token)
  }

  private func send(_ number: Int, _ block: HeldBlock, _ token: DeduplicationToken) {
    if block.hasPoison {
      world.note("refused")
      later(world.random.between(2, 60)) { [unowned self] in
        end(number, .refused(isCertain: !(blocks[number]?.hadUnknown ?? true)))
      }
      return
    }
    let calm = world.isHealed
    let plan = world.plan
    if !calm, world.random.chance(plan.lateInserts) {
      land(block, token, after: world.random.between(1_000, plan.insertDeadline))
      retry(number, after: world.random.between(300, 3_000), isUnknown: true)
    } else if !calm, world.random.chance(plan.failedInserts) {
      switch world.random.below(3) {
      case 0: retry(number, after: world.random.between(50, 1_500), isUnknown: false)
      case 1: retry(number, after: world.random.between(50, 2_000), isUnknown: true)
      default:
        land(block, token, after: world.random.between(2, 50))
        retry(number, after: world.random.between(60, 2_000), isUnknown: true)
      }
    } else {
      let delay = world.random.between(2, 80)
      land(block, token, after: delay)
      later(delay + world.random.between(1, 20)) { [unowned self] in end(number, .accepted) }
    }
  }

  /// Whatever becomes of the sender meanwhile.
  private func land(_ block: HeldBlock, _ token: DeduplicationToken, after delay: Int) {
    world.after(delay) { [unowned world] in
      let isNew = world.table.land(
        token, block.placement, block.topicPartition, block.version, block.offsets, world.now)
      world.note(isNew ? "stored" : "deduplicated")
      world.say("land \(block.topicPartition):\(block.offsets) \(token) \(isNew ? "stored" : "dropped")")
      if isNew { world.landed(block.topicPartition, block.version, block.offsets) }
    }
  }

  private func retry(_ number: Int, after delay: Int, isUnknown: Bool) {
    if isUnknown { blocks[number]?.hadUnknown = true }
    later(delay) { [unowned self] in trySend(number) }
  }

  private func end(_ number: Int, _ result: ExactlyOnceStateMachine.InsertResult) {
    guard let block = blocks.removeValue(forKey: number) else { return }
    perform(machine.inserted(block.id, block: number, result, moment))
  }
}
