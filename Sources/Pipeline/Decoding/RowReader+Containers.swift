internal import ClickHouseClient
internal import SinkBytes

/// Values made of values. How deep they go is the column's type's say, not the record's.
extension RowReader {
  mutating func array(
    _ op: ColumnOp, _ cursor: inout JSONCursor, _ byte: UInt8, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    guard byte == 0x5B else { throw try wrongKind(&cursor) }
    cursor.pass()
    let elements = unsafe column.pointee.children
    var isMore = cursor.peek() != 0x5D
    if !isMore { cursor.pass() }
    while isMore {
      try unsafe value(ops + Int(op.firstChild), &cursor, cursor.peek(), elements)
      isMore = try json(&cursor) { (cursor) throws(JSONError) in try cursor.more(until: 0x5D) }
    }
    unsafe column.pointee.finishArray()
  }

  /// An object: its names become keys, as the key's type reads them.
  mutating func map(
    _ op: ColumnOp, _ cursor: inout JSONCursor, _ byte: UInt8, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    guard byte == 0x7B else { throw try wrongKind(&cursor) }
    cursor.pass()
    let children = unsafe column.pointee.children
    var isMore = cursor.peek() != 0x7D
    if !isMore { cursor.pass() }
    while isMore {
      guard cursor.peek() == 0x22 else { throw RowFailure(.invalidJSON) }
      try unsafe value(ops + Int(op.firstChild), &cursor, 0x22, children)
      try json(&cursor) { (cursor) throws(JSONError) in try cursor.expect(0x3A) }
      try unsafe value(ops + Int(op.firstChild) + 1, &cursor, cursor.peek(), children + 1)
      isMore = try json(&cursor) { (cursor) throws(JSONError) in try cursor.more(until: 0x7D) }
    }
    unsafe column.pointee.finishArray()
  }

  /// An array with as many elements, or, where they have names, an object.
  mutating func tuple(
    _ op: ColumnOp, _ cursor: inout JSONCursor, _ byte: UInt8, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    let children = unsafe column.pointee.children
    if byte == 0x5B {
      cursor.pass()
      if cursor.peek() == 0x5D { throw RowFailure(.wrongKind) }
      for index in 0..<Int(op.childCount) {
        try unsafe value(ops + Int(op.firstChild) + index, &cursor, cursor.peek(), children + index)
        let isMore = try json(&cursor) { (cursor) throws(JSONError) in try cursor.more(until: 0x5D) }
        guard isMore == (index < Int(op.childCount) - 1) else { throw RowFailure(.wrongKind) }
      }
    } else if byte == 0x7B, op.table >= 0 {
      try unsafe named(op, &cursor, children, unsafe column.pointee.rows)
    } else {
      throw try wrongKind(&cursor)
    }
    unsafe column.pointee.finishTuple()
  }

  private mutating func named(
    _ op: ColumnOp, _ cursor: inout JSONCursor, _ children: UnsafeMutablePointer<Column>, _ row: Int
  ) throws(RowFailure) {
    let names = tupleNames(op.table)
    cursor.pass()
    var isMore = cursor.peek() != 0x7D
    if !isMore { cursor.pass() }
    while isMore {
      guard cursor.peek() == 0x22 else { throw RowFailure(.invalidJSON) }
      let found = unsafe Int(names.find(try text(&cursor)))
      try json(&cursor) { (cursor) throws(JSONError) in try cursor.expect(0x3A) }
      if found >= 0 {
        guard unsafe children[found].rows == row else { throw RowFailure(.duplicateKey) }
        try unsafe value(ops + Int(op.firstChild) + found, &cursor, cursor.peek(), children + found)
      } else {
        try json(&cursor) { (cursor) throws(JSONError) in try cursor.skipValue() }
      }
      isMore = try json(&cursor) { (cursor) throws(JSONError) in try cursor.more(until: 0x7D) }
    }
    for index in 0..<Int(op.childCount) where unsafe children[index].rows == row {
      unsafe children[index].appendDefault()
    }
  }
}
