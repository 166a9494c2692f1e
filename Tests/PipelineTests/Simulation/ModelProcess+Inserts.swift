import SinkThreads

@testable import Pipeline

/// The inserter, and the ways to a table that may have taken what it does not confirm.
extension ModelProcess {
  func trySend(_ number: Int, _ serial: Int) {
    guard let block = blocks[number], block.serial == serial, let token = block.token else { return }
    let now = moment.monotonic
    if now >= block.notAfter {
      world.note("expired")
      return end(number, serial, .expired)
    }
    if now >= machine.lease, world.plan.breakage != .lease {
      world.note("held by the lease")
      later(100) { [unowned self] in trySend(number, serial) }
      return
    }
    send(number, block, token)
  }

  private func send(_ number: Int, _ block: HeldBlock, _ token: DeduplicationToken) {
    if block.hasPoison {
      world.note("refused")
      later(world.random.between(2, 60)) { [unowned self] in
        end(number, block.serial, .refused(isCertain: !(blocks[number]?.hadUnknown ?? true)))
      }
      return
    }
    let calm = world.isHealed
    let plan = world.plan
    if !calm, world.random.chance(plan.lateInserts) {
      land(block, token, after: world.random.between(1_000, plan.insertDeadline))
      retry(number, block.serial, after: world.random.between(300, 3_000), isUnknown: true)
    } else if !calm, world.random.chance(plan.cutInserts) {
      land(block, token, isCutShort: true, after: world.random.between(2, 50))
      retry(number, block.serial, after: world.random.between(60, 2_000), isUnknown: true)
    } else if !calm, world.random.chance(plan.failedInserts) {
      switch world.random.below(3) {
      case 0: retry(number, block.serial, after: world.random.between(50, 1_500), isUnknown: false)
      case 1: retry(number, block.serial, after: world.random.between(50, 2_000), isUnknown: true)
      default:
        land(block, token, after: world.random.between(2, 50))
        retry(number, block.serial, after: world.random.between(60, 2_000), isUnknown: true)
      }
    } else {
      let delay = world.random.between(2, 80)
      land(block, token, after: delay)
      later(delay + world.random.between(1, 20)) { [unowned self] in
        end(number, block.serial, .accepted)
      }
    }
  }

  /// Whatever becomes of the sender meanwhile.
  private func land(_ block: HeldBlock, _ token: DeduplicationToken, isCutShort: Bool = false, after delay: Int) {
    world.after(delay) { [unowned world] in
      let isNew = world.table.land(token, block.placement, block.rows, isCutShort: isCutShort, world.now)
      world.note(isCutShort ? "cut short" : isNew ? "stored" : "deduplicated")
      world.say(
        "land \(block.rows.map { "\($0.partition):\($0.offset)" }) \(token) "
          + (isCutShort ? "cut short" : isNew ? "stored" : "dropped"))
      world.landed(block.rows)
    }
  }

  private func retry(_ number: Int, _ serial: Int, after delay: Int, isUnknown: Bool) {
    if isUnknown { blocks[number]?.hadUnknown = true }
    later(delay) { [unowned self] in trySend(number, serial) }
  }

  private func end(_ number: Int, _ serial: Int, _ result: ExactlyOnceStateMachine.InsertResult) {
    guard blocks[number]?.serial == serial else { return }
    blocks[number] = nil
    perform(machine.inserted(number, result, moment))
  }
}
