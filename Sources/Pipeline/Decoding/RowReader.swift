internal import ClickHouseClient
internal import KafkaClient
internal import SinkBytes

/// A plan as plain memory, and the loop over a record's fields.
@safe struct RowReader: ~Copyable {
  /// A field that matters.
  @safe struct Field {
    let name: UnsafePointer<UInt8>
    let nameCount: Int32
    let column: Int32
    let child: Int32
    /// The field that followed it in the last record: records of one topic look alike.
    var successor: Int32 = -1
  }

  @safe struct Node {
    let fields: UnsafeMutablePointer<Field>
    let table: Unmanaged<KeyTable>
    /// The field that came first in the last record.
    var first: Int32 = -1
  }

  private let plan: RecordPlan
  let ops: UnsafeMutablePointer<ColumnOp>
  private let nodes: UnsafeMutablePointer<Node>
  private let names: UnsafeMutablePointer<UInt8>
  private let columnCount: Int
  /// Strings with escapes are spelled out here.
  var scratch = ByteBuffer(capacity: 256)
  var unknownFields = 0

  init(_ plan: RecordPlan) {
    self.plan = plan
    columnCount = plan.layout.columnCount
    unsafe ops = .allocate(capacity: max(1, plan.ops.count))
    for (index, op) in plan.ops.enumerated() { unsafe (ops + index).initialize(to: op) }
    unsafe nodes = .allocate(capacity: plan.nodes.count)
    let bytes = plan.nodes.reduce(0) { $0 + $1.names.reduce(0) { $0 + $1.utf8.count } }
    unsafe names = .allocate(capacity: max(1, bytes))
    var at = 0
    for (index, node) in plan.nodes.enumerated() {
      let fields = UnsafeMutablePointer<Field>.allocate(capacity: max(1, node.names.count))
      for (place, name) in node.names.enumerated() {
        let start = unsafe names + at
        for byte in name.utf8 {
          unsafe (names + at).initialize(to: byte)
          at += 1
        }
        unsafe (fields + place).initialize(
          to: Field(
            name: UnsafePointer(start), nameCount: Int32(name.utf8.count), column: node.columns[place],
            child: node.children[place]))
      }
      unsafe (nodes + index).initialize(to: Node(fields: fields, table: .passUnretained(node.table)))
    }
  }

  deinit {
    for index in 0..<plan.nodes.count { unsafe nodes[index].fields.deallocate() }
    unsafe nodes.deallocate()
    unsafe names.deallocate()
    unsafe ops.deallocate()
  }

  var rawColumn: Int { Int(plan.nodes[0].columns[0]) }

  func zone(_ index: Int32) -> ZoneTransitions { plan.zones[Int(index)] }
  func enumNames(_ index: Int32) -> RecordPlan.EnumNames { plan.enums[Int(index)] }
  func tupleNames(_ index: Int32) -> KeyTable { plan.tuples[Int(index)] }

  /// One record: an object, and nothing behind it.
  mutating func record(
    _ value: UnsafeRawBufferPointer, _ columns: UnsafeMutablePointer<Column>, _ row: Int
  ) throws(RowFailure) {
    var cursor = unsafe JSONCursor(value)
    guard cursor.peek() == 0x7B else {
      // It is JSON of another kind, or no JSON at all; a record that is both wrong is the latter.
      try json(&cursor) { (cursor) throws(JSONError) in
        try cursor.skipValue()
        try cursor.finish()
      }
      throw RowFailure(.notAnObject)
    }
    try unsafe object(0, &cursor, columns, row)
    try json(&cursor) { (cursor) throws(JSONError) in try cursor.finish() }
  }

  /// The fields of one object, from its brace.
  private mutating func object(
    _ index: Int, _ cursor: inout JSONCursor, _ columns: UnsafeMutablePointer<Column>, _ row: Int
  ) throws(RowFailure) {
    cursor.pass()
    guard cursor.peek() != 0x7D else { return cursor.pass() }
    let node = unsafe nodes + index
    let fields = unsafe node.pointee.fields
    var expected = unsafe node.pointee.first
    var previous: Int32 = -1
    while true {
      let start = cursor.offset
      let key = try json(&cursor) { (cursor) throws(JSONError) in
        guard cursor.peek() == 0x22 else { throw .unexpected }
        let key = try cursor.string()
        try cursor.expect(0x3A)
        return key
      }
      let field: Int32
      if expected >= 0, !key.hasEscapes, unsafe matches(key.bytes, fields[Int(expected)]) {
        field = expected
      } else {
        field = unsafe find(key, node)
      }
      if field >= 0 {
        if field != expected {
          if previous >= 0 { unsafe fields[Int(previous)].successor = field } else { unsafe node.pointee.first = field }
        }
        previous = field
        expected = unsafe fields[Int(field)].successor
        try unsafe take(fields[Int(field)], &cursor, columns, row)
      } else {
        try unknown(&cursor, start)
      }
      let isMore = try json(&cursor) { (cursor) throws(JSONError) in try cursor.more(until: 0x7D) }
      if !isMore { return }
    }
  }

  private func matches(_ key: UnsafeRawBufferPointer, _ field: Field) -> Bool {
    unsafe key.count == Int(field.nameCount) && KeyTable.equal(key, UnsafeRawPointer(field.name))
  }

  private mutating func find(_ key: JSONString, _ node: UnsafeMutablePointer<Node>) -> Int32 {
    let table = unsafe node.pointee.table
    guard key.hasEscapes else { return unsafe table._withUnsafeGuaranteedRef { unsafe $0.find(key.bytes) } }
    scratch.removeAll()
    JSONCursor.unescape(key, into: &scratch)
    return unsafe scratch.withUnsafeBytes { bytes in
      unsafe table._withUnsafeGuaranteedRef { unsafe $0.find(bytes) }
    }
  }

  /// A field's value: into its column, or into the columns of the object that it is.
  private mutating func take(
    _ field: Field, _ cursor: inout JSONCursor, _ columns: UnsafeMutablePointer<Column>, _ row: Int
  ) throws(RowFailure) {
    _ = cursor.peek()
    let start = cursor.offset
    if field.column >= 0 {
      let index = Int(field.column)
      do throws(RowFailure) {
        guard unsafe columns[index].rows == row else { throw RowFailure(.duplicateKey) }
        try unsafe value(index, &cursor, columns + index)
      } catch {
        throw error.at(column: index, offset: start)
      }
    } else {
      switch cursor.peek() {
      case 0x7B: try unsafe object(Int(field.child), &cursor, columns, row)
      // As if the object were absent: its columns get what absent fields get.
      case 0x6E: try json(&cursor) { (cursor) throws(JSONError) in try cursor.literal("null") }
      default: throw RowFailure(.wrongKind).at(column: firstColumn(under: Int(field.child)), offset: start)
      }
    }
  }

  private func firstColumn(under index: Int) -> Int {
    var index = index
    while true {
      let node = plan.nodes[index]
      if let column = node.columns.first(where: { $0 >= 0 }) { return Int(column) }
      index = Int(node.children[0])
    }
  }

  private mutating func unknown(_ cursor: inout JSONCursor, _ start: Int) throws(RowFailure) {
    if plan.unknownFields != .ignore {
      unknownFields += 1
      if plan.unknownFields == .reject {
        var failure = RowFailure(.unknownField)
        failure.offset = Int32(clamping: start)
        throw failure
      }
    }
    try json(&cursor) { (cursor) throws(JSONError) in try cursor.skipValue() }
  }

  /// What the record had no field for.
  mutating func fillAbsent(
    _ columns: UnsafeMutablePointer<Column>, _ row: Int, _ record: borrowing RecordView
  ) throws(RowFailure) {
    for index in 0..<columnCount where unsafe columns[index].rows == row {
      switch plan.fills[index] {
      case .null: unsafe columns[index].appendNull()
      case .typeDefault: unsafe columns[index].appendDefault()
      case .metadata(let kind): try unsafe append(kind, plan.ops[index], record, columns + index)
      case .literal(let bytes):
        do throws(RowFailure) {
          try unsafe literal(bytes, index, columns + index)
        } catch {
          throw error.at(column: index, offset: -1)
        }
      }
    }
  }

  private mutating func literal(
    _ bytes: [UInt8], _ index: Int, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    let span = unsafe bytes.span.bytes
    try unsafe span.withUnsafeBytes { (bytes) throws(RowFailure) in
      var cursor = unsafe JSONCursor(bytes)
      try unsafe value(index, &cursor, column)
    }
  }

  /// A step of the cursor; what it throws becomes a failure of the row.
  @inline(__always)
  func json<Result>(
    _ cursor: inout JSONCursor, _ step: (inout JSONCursor) throws(JSONError) -> Result
  ) throws(RowFailure) -> Result {
    do throws(JSONError) {
      return try step(&cursor)
    } catch {
      var failure = RowFailure(syntax: error)
      failure.offset = Int32(clamping: cursor.offset)
      throw failure
    }
  }
}

extension RowFailure {
  /// Says where; the innermost place wins for the syntax, the column's own for the rest.
  func at(column: Int, offset: Int) -> RowFailure {
    guard syntax == nil else { return self }
    var failure = self
    failure.column = Int32(column)
    failure.offset = Int32(clamping: offset)
    return failure
  }
}
