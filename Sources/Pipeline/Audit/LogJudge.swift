internal import ClickHouseClient
internal import KafkaClient

/// Says what becomes of a record, by decoding it as the pipeline does. The rows themselves are thrown away.
final class LogJudge {
  private static let keptRows = 4096

  private let layout: BlockLayout
  private var decoder: RecordDecoder?
  private var block: Block?

  init(plan: RecordPlan, transforms: [any Transform]) {
    layout = plan.layout
    decoder = RecordDecoder(plan: plan, transforms: transforms)
  }

  /// Calls `note` with the fate of each of these records.
  func judge(
    _ batch: borrowing RecordBatch, _ indices: Range<Int>, _ note: (_ offset: Int64, _ fate: OffsetFate) -> Void
  ) {
    guard var decoder = decoder.take() else { preconditionFailure("a judge is asked by one thread") }
    var block = block.take() ?? Block(layout: layout)
    for index in indices {
      let record = batch[index]
      guard unsafe record.valueBytes != nil else {
        note(record.offset, .tombstone)
        continue
      }
      switch decoder.append(record, to: &block) {
      case .row: note(record.offset, .row)
      case .dropped: note(record.offset, .filtered)
      case .rejected: note(record.offset, .deadLetter)
      }
      if block.rows >= Self.keptRows || block.byteCount > 4 << 20 { block.removeAll(keepingAtMost: 1 << 20) }
    }
    self.decoder = consume decoder
    self.block = consume block
  }
}
