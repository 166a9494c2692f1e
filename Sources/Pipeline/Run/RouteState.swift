internal import ClickHouseClient
internal import KafkaClient
internal import SinkThreads

/// A route at work, on the consumer's thread: its decoder, and the table where its block grows.
final class RouteState {
  let configuration: RouteConfiguration
  let table: TableState
  /// Where dead letters grow, if they go to a table.
  let deadLetterTable: TableState?
  private var decoder: RecordDecoder?

  init(
    configuration: RouteConfiguration, table: TableState, deadLetterTable: TableState?, decoder: consuming RecordDecoder
  ) {
    self.configuration = configuration
    self.table = table
    self.deadLetterTable = deadLetterTable
    self.decoder = consume decoder
  }

  /// The same route with blocks of its own for one partition.
  func forPartition() -> RouteState {
    guard let own = decoder.take() else { preconditionFailure("a route is not copied while it decodes") }
    let another = own.fresh()
    decoder = consume own
    return RouteState(
      configuration: configuration, table: table.another(), deadLetterTable: deadLetterTable?.another(),
      decoder: another)
  }

  /// What is open here alone would make a small insert, of rows only.
  var isThin: Bool {
    guard let open = table.open, deadLetterTable?.openRows ?? 0 == 0 else { return false }
    return open.rows <= table.policy.maxRows / 4 && open.bytes <= table.policy.maxBytes / 4
  }

  /// Why `absorb` handed control back.
  enum Stop {
    /// The batch is over, or the next record is another partition's.
    case endOfRun
    /// The next record lies beyond the block that is being made again.
    case complete
    case full(SealPolicy.Reason)
    case rejected(Rejection)
  }

  /// Whether a block has reached what the policy allows.
  private struct Fullness {
    static let never = Fullness(maxRows: .max, maxBytes: .max)

    private static let weighingBytes = 16 << 10

    let maxRows: Int
    let maxBytes: Int
    private var unweighedBytes = 0

    private init(maxRows: Int, maxBytes: Int) {
      self.maxRows = maxRows
      self.maxBytes = maxBytes
    }

    init(_ policy: SealPolicy) { self.init(maxRows: policy.maxRows, maxBytes: policy.maxBytes) }

    /// Adding up the columns costs as much as a row: they are looked at now and then, at once after a large record.
    mutating func reason(_ block: borrowing Block, afterBytes bytes: Int) -> SealPolicy.Reason? {
      if block.rows >= maxRows { return .rows }
      unweighedBytes &+= bytes
      guard unweighedBytes >= Self.weighingBytes else { return nil }
      unweighedBytes = 0
      return block.byteCount >= maxBytes ? .bytes : nil
    }
  }

  /// What one call of `absorb` has done.
  struct Absorbed {
    /// Index of the first record that was not looked at; a rejected one lies right before it.
    var next: Int
    var stop = Stop.endOfRun
    var records = 0
    var bytes = 0
    var tombstones = 0
    var filtered = 0
    var stale = 0
    var unknownFields = 0
  }

  /// Decodes records of one partition into the open block until the run ends, the block is full or a record is bad.
  ///
  /// The loop of the product: everything that it touches is local, and nothing in it allocates.
  func absorb(_ batch: borrowing RecordBatch, from start: Int, into partition: AssignedPartition) -> Absorbed {
    guard let open = table.open, var block = open.block.take(), var decoder = decoder.take() else {
      preconditionFailure("records need an open block")
    }
    var runs = open.runs
    open.runs = []
    var done = Absorbed(next: start)
    var position = partition.ledger.position
    var first: Int64?
    var last: Int64 = 0
    let (handle, number) = (batch[start].topicHandle, batch[start].partition)
    let limit = partition.replay.through ?? .max
    // A block that is made again is what it was, whatever the limits are now.
    var fullness = limit == .max ? Fullness(table.policy) : .never
    let known = partition.replay.known
    let isKnown = !known.isEmpty

    scan: while done.next < batch.count {
      let record = batch[done.next]
      guard record.partition == number, record.topicHandle == handle else { break }
      done.next += 1
      let offset = record.offset
      guard offset >= position else {
        done.stale += 1
        continue
      }
      guard offset <= limit else {
        done.next -= 1
        done.stop = .complete
        break
      }
      position = offset + 1
      done.records += 1
      guard let value = unsafe record.valueBytes else {
        done.tombstones += 1
        continue
      }
      if isKnown, known.contains(offset) {
        partition.replay.knownRows += 1
        continue
      }
      done.bytes += value.count
      switch decoder.append(record, to: &block) {
      case .row:
        if first == nil { first = offset }
        last = offset
        Self.extend(&runs, partition: partition.id, offset: offset, row: block.rows - 1)
        if let reason = fullness.reason(block, afterBytes: value.count) {
          done.stop = .full(reason)
          break scan
        }
      case .dropped: done.filtered += 1
      case .rejected(let rejection):
        done.stop = .rejected(rejection)
        break scan
      }
    }

    done.unknownFields = decoder.takeUnknownFields()
    partition.ledger.read(upTo: position)
    if let first { partition.ledger.claim(first, through: last, for: open.id) }
    open.runs = runs
    open.block = consume block
    self.decoder = consume decoder
    return done
  }

  private static func extend(_ runs: inout [OffsetRun], partition: Int, offset: Int64, row: Int) {
    let last = runs.count - 1
    if last >= 0, runs[last].partition == partition, runs[last].firstOffset + Int64(runs[last].count) == offset,
      runs[last].firstRow + runs[last].count == row
    {
      runs[last].count += 1
    } else {
      runs.append(OffsetRun(partition: partition, firstOffset: offset, firstRow: row, count: 1))
    }
  }
}
