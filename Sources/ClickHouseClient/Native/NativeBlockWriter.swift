internal import SinkBytes

/// Writes a block in ClickHouse's Native format, as HTTP takes it: no block info before it (revision 0).
///
/// Source: ClickHouse documentation, "Native format"; `NativeWriter` and the serializations of the types.
enum NativeBlockWriter {
  static func write(_ block: borrowing Block, to body: inout BodyWriter) throws(ClickHouseError) {
    var head = ByteBuffer(capacity: 64)
    head.append(varUInt: UInt64(block.columnCount))
    head.append(varUInt: UInt64(block.rows))
    try body.write(head)
    for index in 0..<block.columnCount {
      head.removeAll()
      head.append(text: block.layout.names[index])
      head.append(text: block.layout.types[index].description)
      // A block without rows ends here: nothing of a column is sent, not even prefixes.
      guard block.rows > 0 else {
        try body.write(head)
        continue
      }
      unsafe block.columns[index].appendPrefixes(to: &head)
      try body.write(head)
      try unsafe block.columns[index].write(to: &body)
    }
  }
}

extension ByteBuffer {
  /// A text as Native has it.
  mutating func append(text: String) {
    append(varUInt: UInt64(text.utf8.count))
    append(utf8: text)
  }
}

extension Column {
  /// What some types put before a column's values, those inside included: `LowCardinality` says its version.
  func appendPrefixes(to head: inout ByteBuffer) {
    if shape == .dictionary { head.append(1 as UInt64) }
    for index in 0..<childCount { unsafe childBase[index].appendPrefixes(to: &head) }
  }

  func write(to body: inout BodyWriter) throws(ClickHouseError) {
    if shape == .dictionary { return try writeDictionary(to: &body) }
    if isNullable { try body.write(nulls) }
    try body.write(data)
    for index in 0..<childCount { try unsafe childBase[index].write(to: &body) }
  }

  /// One set of keys for the block and a number for each row.
  private func writeDictionary(to body: inout BodyWriter) throws(ClickHouseError) {
    // A column inside an empty array has no rows, and then no keys either.
    guard rows > 0, let dictionary = unsafe dictionary else { return }
    var head = ByteBuffer(capacity: 32)
    let indexType: UInt64 = width == 1 ? 0 : width == 2 ? 1 : 2
    // Keys of its own (bit 9) that replace what came before (bit 10); no dictionary shared between blocks (bit 8).
    head.append(indexType | 1 << 9 | 1 << 10)
    head.append(UInt64(unsafe dictionary.pointee.count))
    try body.write(head)
    try unsafe body.write(dictionary.pointee.keys)
    head.removeAll()
    head.append(UInt64(rows))
    try body.write(head)
    try body.write(data)
  }
}
