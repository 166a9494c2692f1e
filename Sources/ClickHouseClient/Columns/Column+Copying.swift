internal import SinkBytes

extension Column {
  /// Appends rows of a column of the same type.
  mutating func append(rows range: Range<Int>, of other: borrowing Column) {
    precondition(type == other.type, "rows of \(other.type) for a column of \(type)")
    switch shape {
    case .fixed, .nullableFixed:
      appendBytes(of: other, range.lowerBound * width..<range.upperBound * width)
    case .string, .nullableString, .indexedString:
      appendStrings(range, of: other)
    case .dictionary:
      for row in range {
        let index = Int(other.unsignedValue(row: row))
        if other.isNull(row: row) { appendNull() } else { unsafe other.withKey(index) { unsafe appendKey($0) } }
      }
      return
    case .array:
      let first = other.arrayStart(row: range.lowerBound)
      let end = other.arrayStart(row: range.upperBound)
      let shift = unsafe childBase[0].rowCount - first
      for index in 0..<childCount {
        unsafe childBase[index].append(rows: first..<end, of: other.childBase[index])
      }
      for row in range { data.append(UInt64(other.arrayStart(row: row + 1) + shift)) }
    case .tuple:
      for index in 0..<childCount { unsafe childBase[index].append(rows: range, of: other.childBase[index]) }
    }
    if isNullable {
      unsafe other.nulls.withUnsafeBytes { unsafe nulls.append(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
    rowCount += range.count
  }

  private mutating func appendBytes(of other: borrowing Column, _ range: Range<Int>) {
    unsafe other.data.withUnsafeBytes { unsafe data.append(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  private mutating func appendStrings(_ range: Range<Int>, of other: borrowing Column) {
    let first = other.stringStart(row: range.lowerBound)
    var position = first
    for _ in range {
      lastStart = data.count + position - first
      if shape == .indexedString { starts.append(lastStart) }
      position = other.string(at: position).upperBound
    }
    appendBytes(of: other, first..<position)
  }
}

// Where things lie.
extension Column {
  func isNull(row: Int) -> Bool {
    if shape == .dictionary { return type.acceptsNull && unsignedValue(row: row) == 0 }
    return isNullable && (unsafe nulls.withUnsafeBytes { unsafe $0[row] != 0 })
  }

  /// The first element of an array's row; of the row after the last one, the end.
  func arrayStart(row: Int) -> Int { row == 0 ? 0 : Int(unsignedValue(row: row - 1)) }

  /// Where a string's length stands; of the row after the last one, the end.
  func stringStart(row: Int) -> Int {
    if row == rowCount { return data.count }
    if shape == .indexedString { return start(ofString: row) }
    var position = 0
    for _ in 0..<row { position = string(at: position).upperBound }
    return position
  }

  /// The bytes of the string whose length stands at `position`.
  func string(at position: Int) -> Range<Int> {
    unsafe data.withUnsafeBytes { bytes in
      var (length, shift, start) = (0, 0, position)
      while unsafe bytes[start] >= 0x80 {
        length |= Int(unsafe bytes[start] & 0x7f) << shift
        shift += 7
        start += 1
      }
      length |= Int(unsafe bytes[start]) << shift
      return start + 1..<start + 1 + length
    }
  }

  func withKey<Result>(_ index: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    guard let dictionary = unsafe dictionary else { preconditionFailure("\(type) has no dictionary") }
    return unsafe dictionary.pointee.withKey(index, body)
  }
}
