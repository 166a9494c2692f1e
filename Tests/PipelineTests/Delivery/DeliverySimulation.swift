import SinkThreads
import TestServers

@testable import Pipeline

/// Claims, blocks, seals, inserts, splits, dead letters, drains, losses and commits together, on a virtual clock, with a
/// server and a group that answer at random. What is decided is the product's; what carries it out is here.
struct DeliverySimulation {
  typealias HolderID = PartitionLedger.HolderID

  enum Fate { case row, bad, refused, tombstone, gap }

  struct Row: Hashable {
    let partition: Int
    let offset: Int64
  }

  private struct Assignment {
    let partition: Int
    var ledger: PartitionLedger
    var committed: Int64
    var isDraining = false
  }

  private struct Piece {
    let root: HolderID
    var runs: [OffsetRun] = []
    /// What the runs must say.
    var rows: [Row] = []
    var openedAt = MonotonicInstant(nanoseconds: 0)
  }

  private var generator: SeededGenerator
  private let logs: [[Fate]]
  private let policy: SealPolicy
  private var now = MonotonicInstant(nanoseconds: 0)
  private var assignments: [Int: Assignment] = [:]
  private var queue: InsertQueueStateMachine
  private var open: Piece?
  private var pieces: [HolderID: Piece] = [:]
  private var families: [HolderID: BlockFamily] = [:]
  private var inFlight: [HolderID] = []
  private var letters: [HolderID: (assignment: Int, row: Row)] = [:]
  private var nextID: HolderID = 1
  private var nextAssignment = 1
  /// What the group would tell a new owner.
  private var group: [Int64]
  private(set) var stored: [Row: Int] = [:]
  private(set) var deadLettered: Set<Row> = []
  private(set) var problems: [String] = []
  var faults = true
  /// The negative control: a row that only the server refused gets no claim of its own.
  var forgetsRefusedRows = false

  init(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    logs = (0..<Int.random(in: 1...4, using: &generator)).map { _ in
      (0..<Int.random(in: 1...120, using: &generator)).map { _ in
        switch Int.random(in: 0..<40, using: &generator) {
        case 0: .bad
        case 1: .refused
        case 2: .tombstone
        case 3: .gap
        default: .row
        }
      }
    }
    group = logs.map { _ in 0 }
    policy = SealPolicy(
      maxRows: Int.random(in: 1...20, using: &generator),
      linger: .milliseconds(Int.random(in: 1...50, using: &generator)))
    queue = InsertQueueStateMachine(
      limitInFlight: Int.random(in: 1...4, using: &generator),
      policy: RetryPolicy(initial: .milliseconds(5), cap: .milliseconds(40)))
    self.generator = generator
    for partition in logs.indices { assign(partition) }
  }

  /// Whether the group knows that all is accounted for.
  var isDone: Bool { zip(logs, group).allSatisfy { Int64($0.count) == $1 } }

  mutating func step() {
    now = now + .milliseconds(Int.random(in: 0...5, using: &generator))
    switch Int.random(in: 0..<20, using: &generator) {
    case 0..<7: read()
    case 7..<12: finishOne()
    case 12..<15: answerLetter()
    case 15, 16: commit()
    case 17: if faults { startDrain() }
    case 18: if faults, Int.random(in: 0..<4, using: &generator) == 0 { lose() }
    default: if let deadline = queue.nextDeadline { now = max(now, deadline) }
    }
    if let piece = open, policy.reason(rows: piece.rows.count, bytes: 1, age: now - piece.openedAt) != nil { seal() }
    inFlight += queue.takeReady(now)
    finishDrains()
    for partition in logs.indices where !assignments.values.contains(where: { $0.partition == partition }) {
      if Int.random(in: 0..<3, using: &generator) == 0 { assign(partition) }
    }
  }

  // MARK: The consumer's thread

  private mutating func assign(_ partition: Int) {
    assignments[nextAssignment] = Assignment(
      partition: partition, ledger: PartitionLedger(position: group[partition]), committed: group[partition])
    nextAssignment += 1
  }

  private mutating func read() {
    guard let id = assignments.keys.sorted().randomElement(using: &generator), let reading = assignments[id],
      !reading.isDraining
    else { return }
    let log = logs[reading.partition]
    var (first, last): (Int64?, Int64) = (nil, 0)
    var position = reading.ledger.position
    if open == nil { open = Piece(root: makeID(), openedAt: now) }
    for _ in 0..<Int.random(in: 1...15, using: &generator) where position < log.count {
      let row = Row(partition: reading.partition, offset: position)
      let fate = log[Int(position)]
      position += 1
      switch fate {
      case .tombstone, .gap: continue
      case .row, .refused:
        if first == nil { first = row.offset }
        last = row.offset
        append(row, id)
      case .bad:
        assignments[id]?.ledger.read(upTo: position)
        let holder = makeID()
        assignments[id]?.ledger.claim(row.offset, through: row.offset, for: holder)
        letters[holder] = (id, row)
      }
    }
    assignments[id]?.ledger.read(upTo: position)
    if let first, let root = open?.root { assignments[id]?.ledger.claim(first, through: last, for: root) }
  }

  private mutating func append(_ row: Row, _ assignment: Int) {
    guard var piece = open else { return }
    if let run = piece.runs.last, run.partition == assignment, run.firstOffset + Int64(run.count) == row.offset {
      piece.runs[piece.runs.count - 1].count += 1
    } else {
      piece.runs.append(
        OffsetRun(partition: assignment, firstOffset: row.offset, firstRow: piece.rows.count, count: 1))
    }
    piece.rows.append(row)
    open = piece
  }

  private mutating func seal() {
    guard let piece = open, !piece.rows.isEmpty else { return }
    open = nil
    pieces[piece.root] = piece
    families[piece.root] = BlockFamily(root: piece.root, runs: piece.runs)
    queue.add(piece.root, table: "t\(piece.root % 2)")
  }

  private mutating func startDrain() {
    guard let id = assignments.keys.sorted().randomElement(using: &generator) else { return }
    assignments[id]?.isDraining = true
    if open?.runs.contains(where: { $0.partition == id }) == true { seal() }
  }

  private mutating func finishDrains() {
    for (id, leaving) in assignments where leaving.isDraining {
      if leaving.ledger.isSettled, leaving.committed == leaving.ledger.frontier { assignments[id] = nil }
    }
  }

  private mutating func lose() {
    guard let id = assignments.keys.sorted().randomElement(using: &generator) else { return }
    assignments[id] = nil
  }

  private mutating func commit() {
    for (id, assignment) in assignments {
      let frontier = assignment.ledger.frontier
      check(assignment.partition, below: frontier)
      switch faults ? Int.random(in: 0..<4, using: &generator) : 0 {
      // Refused, and unknown but written.
      case 1: continue
      case 2: group[assignment.partition] = frontier
      default:
        group[assignment.partition] = frontier
        assignments[id]?.committed = frontier
      }
    }
  }

  /// The one thing that must never happen.
  private mutating func check(_ partition: Int, below frontier: Int64) {
    for offset in 0..<frontier {
      let row = Row(partition: partition, offset: offset)
      let isThere =
        switch logs[partition][Int(offset)] {
        case .row: stored[row] != nil
        case .bad, .refused: deadLettered.contains(row)
        case .tombstone, .gap: true
        }
      if !isThere { problems.append("\(row) is below the committed \(frontier) and is nowhere") }
    }
  }

  private mutating func answerLetter() {
    guard let holder = letters.keys.sorted().randomElement(using: &generator), let letter = letters[holder] else {
      return
    }
    if faults, Bool.random(using: &generator) { return }
    letters[holder] = nil
    deadLettered.insert(letter.row)
    assignments[letter.assignment]?.ledger.settle(holder)
  }

  // MARK: The inserter's thread

  private mutating func finishOne() {
    guard let index = inFlight.indices.randomElement(using: &generator) else { return }
    let id = inFlight.remove(at: index)
    guard let piece = pieces[id] else { return problems.append("block \(id) is sent and not held") }
    let isRefused = piece.rows.contains { logs[$0.partition][Int($0.offset)] == .refused }
    var verdict: InsertQueueStateMachine.Verdict = isRefused ? .isolate : .accepted
    if faults, Int.random(in: 0..<3, using: &generator) == 0 {
      verdict = [.retry, .alarm].randomElement(using: &generator) ?? .retry
      // Nobody heard of it, and it was stored.
      if !isRefused, Bool.random(using: &generator) { store(piece) }
    }
    switch queue.finished(id, verdict, now, random: Double.random(in: 0..<1, using: &generator)) {
    case .retryAt: break
    case .release:
      store(piece)
      land(id, piece)
    case .split: split(id, piece)
    }
  }

  private mutating func store(_ piece: Piece) { for row in piece.rows { stored[row, default: 0] += 1 } }

  private mutating func split(_ id: HolderID, _ piece: Piece) {
    guard piece.rows.count > 1 else {
      let place = OffsetRun.locate(row: 0, in: piece.runs)
      if place?.offset != piece.rows[0].offset { problems.append("a refused row was taken for another") }
      if let place, assignments[place.partition] != nil {
        let holder = makeID()
        if !forgetsRefusedRows {
          assignments[place.partition]?.ledger.claim(place.offset, through: place.offset, for: holder)
        }
        letters[holder] = (place.partition, piece.rows[0])
      }
      return land(id, piece)
    }
    families[piece.root]?.split()
    let middle = piece.rows.count / 2
    let parts = [0..<middle, middle..<piece.rows.count].map { rows -> HolderID in
      let part = makeID()
      pieces[part] = Piece(
        root: piece.root, runs: OffsetRun.slice(piece.runs, rows: rows), rows: Array(piece.rows[rows]))
      return part
    }
    pieces[id] = nil
    queue.addFirst(parts, table: "t\(piece.root % 2)")
  }

  private mutating func land(_ id: HolderID, _ piece: Piece) {
    pieces[id] = nil
    guard var family = families[piece.root] else { return problems.append("block \(piece.root) landed twice") }
    if family.landPart() {
      families[piece.root] = nil
      for run in family.runs { assignments[run.partition]?.ledger.settle(piece.root) }
    } else {
      families[piece.root] = family
    }
  }

  private mutating func makeID() -> HolderID {
    nextID += 1
    return nextID
  }
}
