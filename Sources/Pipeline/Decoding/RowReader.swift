internal import ClickHouseClient
internal import KafkaClient
internal import SinkBytes

/// A plan as plain memory, and the loop over a record's fields.
@safe struct RowReader: ~Copyable {
  /// A field that matters.
  @safe struct Field {
    /// `,"name":` as compact JSON has it between two fields.
    let token: UnsafeRawPointer
    /// Bytes of the token; 0 where the name has several spellings: it is always looked up.
    let tokenCount: Int32
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

  let plan: RecordPlan
  let ops: UnsafeMutablePointer<ColumnOp>
  /// The plan's, without counting references to them.
  let enums: UnsafeMutablePointer<Unmanaged<RecordPlan.EnumNames>>
  private let nodes: UnsafeMutablePointer<Node>
  private let tokens: UnsafeMutablePointer<UInt8>
  private let columnCount: Int
  let times: TimeRange
  /// Columns that the record at hand has filled.
  private var filled = 0
  /// Strings with escapes are spelled out here.
  var scratch = ByteBuffer(capacity: 256)
  var unknownFields = 0

  init(_ plan: RecordPlan) {
    self.plan = plan
    columnCount = plan.layout.columnCount
    times = plan.times
    unsafe ops = .allocate(capacity: max(1, plan.ops.count))
    for (index, op) in plan.ops.enumerated() { unsafe (ops + index).initialize(to: op) }
    unsafe enums = .allocate(capacity: max(1, plan.enums.count))
    for (index, names) in plan.enums.enumerated() { unsafe (enums + index).initialize(to: .passUnretained(names)) }
    unsafe nodes = .allocate(capacity: plan.nodes.count)
    let bytes = plan.nodes.reduce(0) { $0 + $1.names.reduce(0) { $0 + Self.tokenSpace($1) } }
    unsafe tokens = .allocate(capacity: max(1, bytes))
    unsafe tokens.initialize(repeating: 0, count: max(1, bytes))
    var at = unsafe tokens
    for (index, node) in plan.nodes.enumerated() {
      let fields = UnsafeMutablePointer<Field>.allocate(capacity: max(1, node.names.count))
      for (place, name) in node.names.enumerated() {
        let count = unsafe Self.writeToken(name, to: at)
        unsafe (fields + place).initialize(
          to: Field(
            token: UnsafeRawPointer(at), tokenCount: Int32(count), column: node.columns[place],
            child: node.children[place]))
        unsafe at += Self.tokenSpace(name)
      }
      unsafe (nodes + index).initialize(to: Node(fields: fields, table: .passUnretained(node.table)))
    }
  }

  /// Tokens are compared eight bytes at a time, from their first or second byte on.
  private static func tokenSpace(_ name: String) -> Int { name.utf8.count + 4 + 8 }

  private static func writeToken(_ name: String, to start: UnsafeMutablePointer<UInt8>) -> Int {
    guard name.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x22 && $0 != 0x5C }) else { return 0 }
    var count = 0
    for byte in ",\"\(name)\":".utf8 {
      unsafe start[count] = byte
      count += 1
    }
    return count
  }

  deinit {
    for index in 0..<plan.nodes.count { unsafe nodes[index].fields.deallocate() }
    unsafe nodes.deallocate()
    unsafe tokens.deallocate()
    unsafe enums.deallocate()
    unsafe ops.deallocate()
  }

  func tupleNames(_ index: Int32) -> KeyTable { plan.tuples[Int(index)] }

  /// One record: an object, and nothing behind it.
  mutating func record(
    _ value: UnsafeRawBufferPointer, _ columns: UnsafeMutablePointer<Column>, _ row: Int
  ) throws(RowFailure) {
    filled = 0
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

  /// One record of format `raw`: its value is the one field.
  mutating func raw(_ value: UnsafeRawBufferPointer, _ columns: UnsafeMutablePointer<Column>) {
    unsafe columns[Int(nodes[0].fields[0].column)].append(string: value)
    filled = 1
  }

  /// The fields of one object, from its brace.
  private mutating func object(
    _ index: Int, _ cursor: inout JSONCursor, _ columns: UnsafeMutablePointer<Column>, _ row: Int
  ) throws(RowFailure) {
    cursor.pass()
    let node = unsafe nodes + index
    let fields = unsafe node.pointee.fields
    var expected = unsafe node.pointee.first
    var previous: Int32 = -1
    // The first field has no comma before it.
    var comma = 1
    while true {
      var field = expected
      if expected < 0 || !(unsafe passes(fields + Int(expected), after: comma, &cursor)) {
        guard try unsafe nextKey(node, isFirst: comma == 1, &cursor, &field) else { return }
        if field != expected, field >= 0 {
          if previous >= 0 { unsafe fields[Int(previous)].successor = field } else { unsafe node.pointee.first = field }
        }
      }
      comma = 0
      if field >= 0 {
        previous = field
        expected = unsafe fields[Int(field)].successor
        try unsafe take(fields + Int(field), &cursor, columns, row)
      } else {
        try json(&cursor) { (cursor) throws(JSONError) in try cursor.skipValue() }
      }
    }
  }

  @inline(__always)
  private func passes(_ field: UnsafeMutablePointer<Field>, after comma: Int, _ cursor: inout JSONCursor) -> Bool {
    let count = unsafe Int(field.pointee.tokenCount)
    return unsafe count > 0 && cursor.pass(token: field.pointee.token + comma, count: count &- comma)
  }

  /// Reads up to a field's value. False at the end of the object.
  /// - Parameter field: the one that is expected; becomes the one that is there, or -1 where no column takes it.
  @inline(never)
  private mutating func nextKey(
    _ node: UnsafeMutablePointer<Node>, isFirst: Bool, _ cursor: inout JSONCursor, _ field: inout Int32
  ) throws(RowFailure) -> Bool {
    if !isFirst {
      let isMore = try json(&cursor) { (cursor) throws(JSONError) in try cursor.more(until: 0x7D) }
      guard isMore else { return false }
    } else if cursor.peek() == 0x7D {
      cursor.pass()
      return false
    }
    _ = cursor.peek()
    // Written with white space between the fields: foreseen all the same.
    if field >= 0, unsafe passes(node.pointee.fields + Int(field), after: 1, &cursor) { return true }
    let start = cursor.offset
    let key = try json(&cursor) { (cursor) throws(JSONError) in
      let key = try cursor.string()
      try cursor.expect(0x3A)
      return key
    }
    field = unsafe find(key, node)
    if field < 0, plan.unknownFields != .ignore {
      guard plan.unknownFields == .count else {
        var failure = RowFailure(.unknownField)
        failure.offset = Int32(clamping: start)
        throw failure
      }
      unknownFields += 1
    }
    return true
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
  @inline(__always)
  private mutating func take(
    _ field: UnsafeMutablePointer<Field>, _ cursor: inout JSONCursor, _ columns: UnsafeMutablePointer<Column>,
    _ row: Int
  ) throws(RowFailure) {
    let index = unsafe Int(field.pointee.column)
    guard index >= 0 else { return try unsafe inner(Int(field.pointee.child), &cursor, columns, row) }
    let column = unsafe columns + index
    let byte = cursor.peek()
    let start = cursor.offset
    do throws(RowFailure) {
      guard unsafe column.pointee.rows == row else { throw RowFailure(.duplicateKey) }
      try unsafe value(ops + index, &cursor, byte, column)
    } catch {
      throw error.at(column: index, offset: start)
    }
    filled &+= 1
  }

  @inline(never)
  private mutating func inner(
    _ child: Int, _ cursor: inout JSONCursor, _ columns: UnsafeMutablePointer<Column>, _ row: Int
  ) throws(RowFailure) {
    switch cursor.peek() {
    case 0x7B: try unsafe object(child, &cursor, columns, row)
    // As if the object were absent: its columns get what absent fields get.
    case 0x6E: try json(&cursor) { (cursor) throws(JSONError) in try cursor.literal("null") }
    default:
      let start = cursor.offset
      throw try wrongKind(&cursor).at(column: firstColumn(under: child), offset: start)
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

  /// What the record had no field for.
  mutating func fillAbsent(_ columns: UnsafeMutablePointer<Column>, _ row: Int) throws(RowFailure) {
    if filled == columnCount { return }
    for index in 0..<columnCount where unsafe columns[index].rows == row {
      switch plan.fills[index] {
      case .null: unsafe columns[index].appendNull()
      case .typeDefault: unsafe columns[index].appendDefault()
      case .metadata: break
      case .literal(let bytes):
        do throws(RowFailure) {
          try unsafe literal(bytes, index, columns + index)
        } catch {
          throw error.at(column: index, offset: -1)
        }
      }
    }
  }

  mutating func appendMetadata(
    of record: borrowing RecordView, _ columns: UnsafeMutablePointer<Column>, _ row: Int
  ) throws(RowFailure) {
    for index in 0..<columnCount {
      if case .metadata(let kind) = plan.fills[index] {
        try unsafe append(kind, plan.ops[index], record, columns + index)
      }
    }
  }

  /// The first column whose literal DEFAULT it would not take, if any.
  static func firstUnfitLiteral(of plan: RecordPlan) -> Int? {
    var reader = RowReader(plan)
    let block = Block(layout: plan.layout)
    for (index, fill) in plan.fills.enumerated() {
      guard case .literal(let bytes) = fill else { continue }
      do throws(RowFailure) {
        try unsafe reader.literal(bytes, index, block.columns + index)
      } catch {
        return index
      }
    }
    return nil
  }

  private mutating func literal(
    _ bytes: [UInt8], _ index: Int, _ column: UnsafeMutablePointer<Column>
  ) throws(RowFailure) {
    let span = unsafe bytes.span.bytes
    try unsafe span.withUnsafeBytes { (bytes) throws(RowFailure) in
      var cursor = unsafe JSONCursor(bytes)
      try unsafe value(ops + index, &cursor, cursor.peek(), column)
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
