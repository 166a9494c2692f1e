internal import ClickHouseClient
internal import KafkaClient
internal import SinkBytes

/// Columns that are filled from where the record came: `_topic, _partition, _offset, _timestamp, _key, _headers`.
extension RowReader {
  mutating func append(
    _ kind: MetadataKind, _ op: ColumnOp, _ record: borrowing RecordView, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    switch kind {
    case .topic: unsafe record.topicBytes.withUnsafeBytes { unsafe column.pointee.append(string: $0) }
    case .partition:
      if op.kind == .int32 || op.kind == .uint32 {
        unsafe column.pointee.append(record.partition)
      } else {
        unsafe column.pointee.append(Int64(record.partition))
      }
    case .offset: unsafe column.pointee.append(record.offset)
    case .timestamp: try unsafe timestamp(op, record.timestampMilliseconds, column)
    case .key:
      if let key = unsafe record.keyBytes {
        unsafe column.pointee.append(string: key)
      } else if op.isNullable {
        unsafe column.pointee.appendNull()
      } else {
        unsafe column.pointee.append(string: UnsafeRawBufferPointer(start: nil, count: 0))
      }
    case .headers:
      let children = unsafe column.pointee.children
      record.forEachHeader { name, value in
        unsafe name.withUnsafeBytes { unsafe children[0].append(string: $0) }
        if let value {
          unsafe value.withUnsafeBytes { unsafe children[1].append(string: $0) }
        } else {
          unsafe children[1].append(string: UnsafeRawBufferPointer(start: nil, count: 0))
        }
      }
      unsafe column.pointee.finishArray()
    }
  }

  /// A record without a timestamp has -1, which is shown as 1970-01-01.
  private func timestamp(
    _ op: ColumnOp, _ milliseconds: Int64, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    let milliseconds = max(0, milliseconds)
    switch op.kind {
    case .dateTime:
      guard let seconds = UInt32(exactly: milliseconds / 1000) else { throw RowFailure(.outOfRange) }
      unsafe column.pointee.append(seconds)
    case .dateTime64:
      let ticks = Int128(milliseconds) * PowersOfTen.int128(Int(op.size)) / 1000
      guard let value = Int64(exactly: ticks) else { throw RowFailure(.outOfRange) }
      unsafe column.pointee.append(value)
    default: unsafe column.pointee.append(milliseconds)
    }
  }
}
