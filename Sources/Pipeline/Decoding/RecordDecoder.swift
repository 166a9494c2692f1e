internal import ClickHouseClient
internal import KafkaClient
internal import SinkBytes

/// What became of a record.
enum RowOutcome {
  /// It is the block's last row now.
  case row
  /// A transform does not want it.
  case dropped
  /// The block is as it was.
  case rejected(Rejection)
}

/// Turns records into rows of a block, by a plan. One for each route, on the consumer's thread.
///
/// It owns what the loop touches as plain memory, so that nothing in the loop counts references or allocates once the
/// buffers have grown to what the records need.
@safe struct RecordDecoder: ~Copyable {
  /// To be raised with every change of what a record becomes: a row, another row, a dead letter. Blocks that were on their
  /// way under another one are looked for in the table, not made again blindly.
  static let rulesVersion = 1

  let plan: RecordPlan
  private let transforms: [any Transform]
  var reader: RowReader
  private var rewritten = ByteBuffer()
  /// The last record's topic: a name is made once, not for each record.
  private var topicHandle: UInt = 0
  private var topic = ""

  init(plan: RecordPlan, transforms: [any Transform] = []) {
    self.plan = plan
    self.transforms = transforms
    reader = RowReader(plan)
  }

  /// Another one like it.
  func fresh() -> RecordDecoder { RecordDecoder(plan: plan, transforms: transforms) }

  /// Fields that no column took since the last call, where the route counts them.
  mutating func takeUnknownFields() -> Int {
    defer { reader.unknownFields = 0 }
    return reader.unknownFields
  }

  /// Appends a record that has a value. A tombstone is the caller's to count.
  mutating func append(_ record: borrowing RecordView, to block: inout Block) -> RowOutcome {
    guard let value = unsafe record.valueBytes else { preconditionFailure("a tombstone is no row") }
    guard transforms.isEmpty else { return unsafe appendTransformed(value, record, to: &block) }
    return unsafe append(value, record, to: &block)
  }

  /// Appends a value that comes from no record, for a plan without metadata columns and transforms.
  mutating func append(value: UnsafeRawBufferPointer, to block: inout Block) -> RowOutcome {
    precondition(!plan.hasMetadata && transforms.isEmpty, "metadata and transforms need a record")
    do throws(RowFailure) {
      try unsafe appendFields(value, block)
    } catch {
      block.rollbackRow()
      return unsafe .rejected(describe(error, value))
    }
    block.endRow()
    return .row
  }

  private mutating func append(
    _ value: UnsafeRawBufferPointer, _ record: borrowing RecordView, to block: inout Block
  ) -> RowOutcome {
    do throws(RowFailure) {
      try unsafe appendFields(value, block)
      if plan.hasMetadata { try unsafe reader.appendMetadata(of: record, block.columns, block.rows) }
    } catch {
      block.rollbackRow()
      return unsafe .rejected(describe(error, value))
    }
    block.endRow()
    return .row
  }

  private mutating func appendFields(
    _ value: UnsafeRawBufferPointer, _ block: borrowing Block
  ) throws(RowFailure) {
    if plan.format == .json {
      try unsafe reader.record(value, block.columns, block.rows)
    } else {
      unsafe reader.raw(value, block.columns)
    }
    try unsafe reader.fillAbsent(block.columns, block.rows)
  }

  /// With transforms a record is taken apart; one that they have changed is put together again.
  private mutating func appendTransformed(
    _ value: UnsafeRawBufferPointer, _ record: borrowing RecordView, to block: inout Block
  ) -> RowOutcome {
    if topicHandle != record.topicHandle || topic.isEmpty {
      topic = record.topic
      topicHandle = record.topicHandle
    }
    let verdict: Verdict
    var fields: RecordFields
    do throws(Rejection) {
      fields = try RecordFields(record, topic: topic)
      verdict = try transforms.applyAll(to: &fields)
    } catch {
      return .rejected(error)
    }
    guard verdict == .keep else { return .dropped }
    guard fields.isChanged else { return unsafe append(value, record, to: &block) }
    rewritten.removeAll()
    fields.write(to: &rewritten)
    // Taken out for the call: the decoder is changed by it as a whole.
    var bytes = ByteBuffer()
    swap(&bytes, &rewritten)
    let outcome = unsafe bytes.withUnsafeBytes { unsafe append($0, record, to: &block) }
    swap(&bytes, &rewritten)
    return outcome
  }

  /// The words for a failure, made only when there is one.
  private func describe(_ failure: RowFailure, _ value: UnsafeRawBufferPointer) -> Rejection {
    let snippet = failure.offset < 0 ? nil : unsafe Snippet.text(value, at: Int(failure.offset))
    guard failure.column >= 0 else {
      let words = failure.syntax.map { ": \($0.words)" } ?? ""
      let place = snippet.map { " at \($0)" } ?? ""
      return Rejection(
        reason: failure.reason, value: snippet, message: "\(failure.reason.words)\(words)\(place)")
    }
    let name = plan.layout.names[Int(failure.column)]
    let type = plan.types[Int(failure.column)].description
    let shown = snippet.map { ", not \($0)" } ?? ""
    return Rejection(
      reason: failure.reason, column: name, expectedType: type, value: snippet,
      message: "column \(name) is \(type)\(shown): \(failure.reason.words)")
  }
}

extension Rejection.Reason {
  /// For people.
  var words: String {
    switch self {
    case .invalidJSON: "the record is not JSON"
    case .invalidUTF8: "the text is not UTF-8"
    case .notAnObject: "the record is not a JSON object"
    case .outOfRange: "the value is out of range"
    case .wrongKind: "a value of another kind is expected"
    case .losesPrecision: "the value has more decimals than the column keeps"
    case .unknownEnumValue: "the enum has no such value"
    case .badDate: "that is no date or time that the column can hold"
    case .tooLong: "the value is longer than the column"
    case .nullNotAllowed: "the column is not Nullable"
    case .duplicateKey: "the field stands twice in the record"
    case .unknownField: "no column takes the field"
    case .tooDeep: "arrays and objects are nested too deep"
    case .transform: "a transform refused the record"
    case .server: "ClickHouse refused the row"
    }
  }
}

/// The start of a value, to show it.
enum Snippet {
  static let limitBytes = 64

  /// One line of printable text: control characters and bytes that are no UTF-8 are replaced.
  static func text(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> String {
    guard offset < bytes.count else { return "(the end)" }
    // A whole value where it is short: what follows it would only confuse.
    var cursor = unsafe JSONCursor(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
    let end = (try? cursor.skipValue()) == nil ? bytes.count - offset : cursor.offset
    let shown = min(end, limitBytes)
    let text = unsafe String(decoding: bytes[offset..<offset + shown], as: UTF8.self)
    let line = String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0) })
    return shown < end ? line + "…" : line
  }
}
