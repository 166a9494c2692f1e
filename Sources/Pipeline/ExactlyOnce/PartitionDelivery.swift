internal import SinkThreads

/// One partition of one assignment: its intents, from the committed offset on, and what is to be read next. A value;
/// `ExactlyOnceStateMachine` joins the partitions of a handle.
struct PartitionDelivery: Sendable {
  enum Phase: Sendable, Equatable {
    /// What the group holds is to be read.
    case reading
    /// Our name is to be written over it.
    case claiming
    case active
    /// Nothing is read, inserted or committed until a person has looked.
    case stopped
  }

  enum Stage: Sendable, Equatable {
    case waiting
    case inserting
    /// Too old, or too uncertain, to be inserted blindly: it is counted at once, since what is there is there, and again
    /// when nobody can insert it any more.
    case resolving(notBefore: MonotonicInstant)
    /// `isLast`: what is not found is not there, and will not come.
    case counting(notBefore: MonotonicInstant, isLast: Bool)
    case done
  }

  struct Block: Sendable {
    /// The parts of a block that is shared have the same one in all partitions of a handle.
    var number: Int
    var intent: Intent
    var stage = Stage.waiting
    /// The shell holds its rows.
    var isHeld: Bool
    /// The group holds the intent as it stands here.
    var isDeclared = false
    /// Its rows are of the log that it was declared for. Of a block that was read again that is so once what the group
    /// holds was read back since: or the topic might have been deleted and made again meanwhile.
    var isConfirmed = true
    /// Somebody may have sent it: us, or a former owner.
    var isUncertain = false
    /// The server refuses it for its data.
    var isRefused = false
    /// Where the log begins now, if that is behind its first record.
    var logStart: Int64?
    /// It was counted since it began to be in doubt.
    var isProbed = false
  }

  enum Reader: Sendable, Equatable {
    case none
    case replay(Int)
    case cut
  }

  struct Snapshot: Sendable, Equatable {
    let offset: Int64
    let metadata: String
  }

  var target: DeliveryTarget
  let nonce: UInt64
  private(set) var lineage: UInt64
  /// Under which the intents that the group holds were made.
  private(set) var fingerprint: UInt64
  var phase = Phase.reading
  var blocks: [Block] = []
  /// The first offset behind the last block.
  private(set) var position: Int64 = 0
  /// What the group is known to hold; nil where it holds nothing.
  var written: Snapshot?
  /// When it was last asked for that.
  private(set) var verifiedAt = MonotonicInstant(nanoseconds: .min)
  var isDirty = false
  /// One after the other, since the last claim that was not refused; and when the next may be tried.
  private var claimRefusals = 0
  private(set) var claimNotBefore = MonotonicInstant(nanoseconds: .min)
  var isAssigned = false
  var reader = Reader.none
  var isDraining = false
  /// The drain's time is over: what has not landed is the next owner's.
  private(set) var hasGivenUp = false

  init(target: DeliveryTarget, nonce: UInt64) {
    self.target = target
    self.nonce = nonce
    lineage = target.lineageAnew
    fingerprint = target.fingerprint
  }

  /// Everything below is accounted for.
  var frontier: Int64 { blocks.first?.intent.first ?? position }

  /// The intents were made under another fingerprint: nothing new before they are settled.
  var isForeignMade: Bool { fingerprint != target.fingerprint }

  // MARK: Taking over

  /// A rebalance refuses a claim once or twice. What refuses it again and again, a grant that lacks for instance, is asked
  /// less and less often, up to every five seconds.
  mutating func claimRefused(_ now: Moment) {
    claimRefusals += 1
    guard claimRefusals > 2 else { return }
    claimNotBefore = now.monotonic + min(.seconds(5), .milliseconds(100) * (1 << min(claimRefusals - 2, 6)))
  }

  /// The topic's id, as it is now.
  mutating func identify(_ present: UInt64) throws(DeliveryFault) {
    let carried = phase != .reading && lineage & DeliveryTarget.identifiedBit != 0 ? lineage : nil
    if let known = target.lineage ?? carried, (known ^ present) & DeliveryTarget.identityMask != 0 {
      throw .otherLog(committed: known, present: present)
    }
    target.lineage = present
  }

  /// - Parameter start: where to begin where the group holds nothing.
  mutating func takeOver(_ found: Snapshot?, start: Int64, number: inout Int) throws(DeliveryFault) {
    written = found
    isDirty = true
    guard let found else {
      lineage = target.lineageAnew
      position = start
      phase = .claiming
      return
    }
    guard let metadata = IntentMetadata(found.metadata, offset: found.offset) else {
      throw .foreignCommit(offset: found.offset, metadata: found.metadata)
    }
    lineage = try carried(metadata.lineage)
    position = found.offset
    for intent in metadata.intents {
      number += 1
      blocks.append(
        Block(
          number: number, intent: intent, stage: intent.isDone ? .done : .waiting, isHeld: false,
          isDeclared: !intent.isUnsent, isUncertain: !intent.isDone && !intent.isUnsent))
      position = intent.last + 1
    }
    while blocks.first?.stage == .done { blocks.removeFirst() }
    if blocks.contains(where: \.isUncertain) { fingerprint = metadata.fingerprint }
    phase = .claiming
  }

  /// - Parameter committed: what stands in the group's commit; 0: draw a new one, so that no token that was ever used
  ///   comes again.
  private func carried(_ committed: UInt64) throws(DeliveryFault) -> UInt64 {
    guard committed != 0 else { return target.lineageAnew }
    guard let present = target.lineage else { return committed }
    // A number that was drawn while the id could not be asked for gives way to it.
    guard committed & DeliveryTarget.identifiedBit != 0 else { return target.lineageAnew }
    guard (committed ^ present) & DeliveryTarget.identityMask == 0 else {
      throw .otherLog(committed: committed, present: present)
    }
    return committed
  }

  /// Another member has claimed the partition since: our session was over, and nobody has told us yet.
  func isSuperseded(by held: Snapshot?) -> Bool {
    guard let held, let theirs = IntentMetadata(held.metadata, offset: held.offset) else { return false }
    return theirs.lineage == lineage && theirs.nonce != nonce
  }

  /// Our claim is known: from here on nobody else writes for the partition.
  mutating func claimed(_ now: Moment, _ rules: DeliveryRules) {
    phase = .active
    for index in blocks.indices
    where blocks[index].stage == .waiting && blocks[index].isUncertain && !blocks[index].intent.isShared {
      if isForeignMade || isOld(blocks[index].intent, now) { resolve(index, now, rules) }
    }
  }

  /// Whether it is in the table is to be found out there.
  mutating func resolve(_ index: Int, _ now: Moment, _ rules: DeliveryRules) {
    blocks[index].isHeld = false
    blocks[index].isUncertain = true
    blocks[index].isProbed = false
    blocks[index].stage = .resolving(notBefore: now.monotonic + rules.silence)
  }

  /// Also where it was declared in our future: one of the two clocks is wrong, and the block may be of any age.
  func isOld(_ intent: Intent, _ now: Moment) -> Bool {
    let ahead = Duration.seconds((intent.declaredAt ?? now.wallSeconds) - now.wallSeconds)
    return ahead > DeliveryTarget.clockTolerance || age(intent, now) >= target.blindAge
  }

  func age(_ intent: Intent, _ now: Moment) -> Duration {
    .seconds(max(0, now.wallSeconds - (intent.declaredAt ?? now.wallSeconds)))
  }

  /// Until when a block may be sent. One that is counted is sent once, whenever that is.
  func lastSend(_ intent: Intent, _ now: Moment) -> MonotonicInstant {
    target.isCounted ? MonotonicInstant(nanoseconds: .max) : now.monotonic + (target.blindAge - age(intent, now))
  }

  // MARK: The commit

  /// What the group should hold now. Intents that were not declared before get their time here.
  /// - Returns: nil where the declared intents do not fit.
  mutating func makeSnapshot(_ now: Moment, _ rules: DeliveryRules) -> (snapshot: Snapshot, intents: [Intent])? {
    let declared = declaredCount
    var count = wantedCount(rules)
    while true {
      for index in 0..<count where blocks[index].intent.declaredAt == nil {
        blocks[index].intent.declaredAt = now.wallSeconds
      }
      let intents = blocks[0..<count].map(\.intent)
      let metadata = IntentMetadata(lineage: lineage, nonce: nonce, fingerprint: fingerprint, intents: intents)
      if let text = metadata.encoded() { return (Snapshot(offset: frontier, metadata: text), intents) }
      guard count > declared else { return nil }
      count -= 1
    }
  }

  /// The group holds the snapshot. What has changed since it was made is for the next one.
  mutating func know(_ snapshot: Snapshot, _ intents: [Intent]) {
    written = snapshot
    for index in blocks.indices where intents.contains(blocks[index].intent) { blocks[index].isDeclared = true }
    isDirty = frontier != snapshot.offset || blocks.contains { !$0.isDeclared }
  }

  func hasUndeclared(_ rules: DeliveryRules) -> Bool {
    blocks.prefix(wantedCount(rules)).contains { !$0.isDeclared && $0.stage == .waiting }
  }

  /// Blocks that a commit must name, or somebody would cut them again: all up to the last one that may be in the table.
  private var declaredCount: Int {
    (blocks.lastIndex { $0.isDeclared || $0.isUncertain } ?? -1) + 1
  }

  /// Whether a new block could be declared at once.
  func hasRoom(_ rules: DeliveryRules) -> Bool { blocks.count { $0.stage != .done } < rules.pendingLimit }

  private func wantedCount(_ rules: DeliveryRules) -> Int { min(blocks.count, max(declaredCount, rules.pendingLimit)) }

  // MARK: Blocks

  /// Of a block of the partition's own that begins at the position.
  func token(through last: Int64) -> DeduplicationToken { makeToken(position, last, isDead: false) }

  mutating func append(through last: Int64, rows: Int, number: Int, token: DeduplicationToken, parts: Int) {
    precondition(last >= position, "a block ends at \(last), before the position \(position)")
    defer { isDirty = true }
    let first = position
    position = last + 1
    if rows == 0, blocks.isEmpty { return }
    let intent =
      rows == 0
      ? .done(first: first, last: last)
      : Intent(first: first, last: last, rows: rows, declaredAt: nil, token: token, parts: parts, isDead: false)
    blocks.append(Block(number: number, intent: intent, stage: rows == 0 ? .done : .waiting, isHeld: rows > 0))
  }

  private func makeToken(_ first: Int64, _ last: Int64, isDead: Bool) -> DeduplicationToken {
    DeduplicationToken(lineage: lineage, origin: target.origin, first: first, last: last, isDead: isDead)
  }

  /// The rows of an intent have been read again.
  mutating func hold(_ index: Int, rows: Int) throws(DeliveryFault) {
    let declared = blocks[index].intent.rows
    // Where none of it is in the table, another mapping may make more of it.
    guard rows <= declared || !blocks[index].isUncertain else { throw .moreRows(blocks[index].intent, found: rows) }
    blocks[index].isHeld = true
    blocks[index].isConfirmed = false
    verifiedAt = MonotonicInstant(nanoseconds: .min)
    guard rows != declared else { return }
    // Compaction has taken some: a later count must not miss them. Its age goes on.
    blocks[index].intent.rows = rows
    blocks[index].isDeclared = false
    isDirty = true
    if rows == 0, !blocks[index].intent.isShared { finish(index) }
  }

  mutating func finish(_ index: Int) {
    blocks[index].stage = .done
    // Neighbours that are done too become one, which keeps the metadata short.
    var low = index
    var high = index
    while low > 0, blocks[low - 1].stage == .done { low -= 1 }
    while high + 1 < blocks.count, blocks[high + 1].stage == .done { high += 1 }
    var done = Block(
      number: blocks[index].number,
      intent: .done(first: blocks[low].intent.first, last: blocks[high].intent.last), stage: .done, isHeld: false)
    // Of what had no row nobody need know.
    done.isUncertain = blocks[low...high].contains { $0.isDeclared || $0.isUncertain }
    blocks.replaceSubrange(low...high, with: [done])
    while blocks.first?.stage == .done { blocks.removeFirst() }
    isDirty = true
    settleFingerprint()
  }

  /// It is certain that nothing of it is in the table and that nothing of it can still come. What was part of a shared
  /// block becomes a block of its own.
  mutating func startAgain(_ index: Int, number: inout Int) {
    guard !blocks[index].intent.isShared else { return separate(index, number: &number) }
    blocks[index].isUncertain = false
    blocks[index].stage = .waiting
    blocks[index].intent.declaredAt = nil
    blocks[index].isDeclared = false
    isDirty = true
    settleFingerprint()
  }

  /// What the group holds was read back, and is as it was written.
  mutating func verified(_ askedAt: MonotonicInstant) {
    verifiedAt = askedAt
    for index in blocks.indices { blocks[index].isConfirmed = true }
  }

  /// Whether a block waits for a reading back alone.
  /// - Parameter gathering: the shared block whose parts are still being read again.
  func needsReadingBack(gathering: Int?) -> Bool {
    phase == .active
      && blocks.contains {
        $0.stage == .waiting && $0.isHeld && $0.isDeclared && !$0.isConfirmed && $0.number != gathering
      }
  }

  private mutating func separate(_ index: Int, number: inout Int) {
    let old = blocks[index].intent
    guard old.rows > 0 else { return finish(index) }
    number += 1
    let intent = Intent(
      first: old.first, last: old.last, rows: old.rows, declaredAt: nil,
      token: makeToken(old.first, old.last, isDead: false), isDead: false)
    blocks[index] = Block(number: number, intent: intent, isHeld: false)
    isDirty = true
    settleFingerprint()
  }

  /// Once nothing is left in doubt of what was made under another fingerprint, the rest is ours to make.
  private mutating func settleFingerprint() {
    guard isForeignMade, !blocks.contains(where: { $0.isUncertain && $0.stage != .done }) else { return }
    fingerprint = target.fingerprint
    for index in blocks.indices { blocks[index].isDeclared = false }
    isDirty = true
  }

  /// The server refuses the block for its data, and none of it is in the table: two halves take its place, or, of a single
  /// offset, a dead letter.
  mutating func split(_ index: Int, number: inout Int) {
    let old = blocks[index].intent
    let isDead = old.first == old.last
    let middle = old.first + (old.last - old.first) / 2
    let ranges = isDead ? [(old.first, old.last)] : [(old.first, middle), (middle + 1, old.last)]
    let parts = ranges.map { first, last in
      number += 1
      let intent = Intent(
        first: first, last: last, rows: min(old.rows, Int(last - first + 1)), declaredAt: nil,
        token: makeToken(first, last, isDead: isDead), isDead: isDead)
      return Block(number: number, intent: intent, isHeld: false)
    }
    blocks.replaceSubrange(index...index, with: parts)
    isDirty = true
  }

  /// At the end of a drain: what has not landed is the next owner's to insert, what is not declared his to cut.
  mutating func giveUp() {
    hasGivenUp = true
    for index in blocks.indices { blocks[index].isHeld = false }
    let declared = declaredCount
    guard declared < blocks.count else { return }
    position = blocks[declared].intent.first
    blocks.removeSubrange(declared...)
    // What the last commit lacks then is only what was accounted for since.
    isDirty = frontier != written?.offset || blocks.contains { !$0.isDeclared }
  }

  /// Whether something that we hold is on its way.
  var hasWork: Bool { blocks.contains { $0.isHeld && $0.stage != .done } }

  /// What is to be read next.
  /// - Parameter gathering: the shared block whose parts are being read again; the others wait, so that only one is held
  ///   in parts.
  func wantedReader(gathering: Int?) -> Reader {
    guard phase == .active, !isDraining, !isForeignMade else { return .none }
    let missing = blocks.filter { $0.stage == .waiting && !$0.isHeld }
    if let next = missing.first(where: { !$0.intent.isShared || $0.number == gathering }) {
      return .replay(next.number)
    }
    return missing.isEmpty ? .cut : .none
  }

  /// The block that is being read again.
  var replayed: Block? {
    guard case .replay(let number) = reader else { return nil }
    return blocks.first { $0.number == number }
  }

  /// The numbers of blocks whose rows the shell may hold.
  var heldNumbers: [Int] { blocks.filter { $0.isHeld && $0.stage != .done }.map(\.number) }
}
