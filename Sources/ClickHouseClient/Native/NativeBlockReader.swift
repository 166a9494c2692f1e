internal import SinkBytes

/// Reads blocks of the Native format out of bytes that may end anywhere.
///
/// Whatever a peer sends, it is an error or a block: lengths are checked against what is there before anything is
/// allocated for them.
struct NativeBlockReader {
  /// What one block may hold.
  var rowsLimit = 1 << 27
  /// Bytes that `read` used of what it was given, when it returned a block.
  private(set) var used = 0

  /// - Parameters:
  ///   - layout: what the block must look like; nil: what it says.
  /// - Returns: nil where the bytes end before the block does.
  /// - Throws: `malformedData`, `invalidType`, `unsupportedType`, `limitExceeded`.
  mutating func read(
    _ bytes: UnsafeRawBufferPointer, layout: BlockLayout? = nil
  ) throws(ClickHouseError) -> Block? {
    var input = unsafe NativeInput(bytes)
    do throws(NativeInput.Stop) {
      let block = try readBlock(&input, layout)
      used = input.position
      return block
    } catch {
      switch error {
      case .ended: return nil
      case .failed(let failure): throw failure
      }
    }
  }

  private func readBlock(_ input: inout NativeInput, _ layout: BlockLayout?) throws(NativeInput.Stop) -> Block {
    let columnCount = try input.count(limit: 1 << 20, of: "columns")
    let rows = try input.count(limit: rowsLimit, of: "rows")
    // A column takes two bytes at least: nothing is allocated for more than can be there.
    guard columnCount <= input.left / 2 else { throw .ended }
    if let layout, layout.columnCount != columnCount {
      throw .failed(.malformed("a block of \(columnCount) columns where \(layout.columnCount) are expected"))
    }
    // Twice over the names would be simpler but not streamable: types come between the columns' data.
    var columns: [(name: String, type: ColumnType)] = []
    let base = UnsafeMutablePointer<Column>.allocate(capacity: max(columnCount, 1))
    var made = 0
    do throws(NativeInput.Stop) {
      for _ in 0..<columnCount {
        let name = try input.text()
        let type = try Self.type(try input.text(), column: name)
        columns.append((name, type))
        unsafe (base + made).initialize(to: Column(type, capacityRows: 0, isIndexed: true))
        made += 1
        guard rows > 0 else { continue }
        try unsafe base[made - 1].readPrefixes(&input)
        try unsafe base[made - 1].read(rows, &input)
        try unsafe base[made - 1].skipUnusedDictionary(&input)
      }
      return unsafe Block(layout: try Self.layout(columns, layout), adopting: base, rows: rows)
    } catch {
      unsafe base.deinitialize(count: made)
      unsafe base.deallocate()
      throw error
    }
  }

  private static func type(_ text: String, column: String) throws(NativeInput.Stop) -> ColumnType {
    do throws(ClickHouseError) {
      let type = try ColumnType.parse(text)
      if let part = type.firstUnsupported {
        throw ClickHouseError(
          code: .unsupportedType, message: "column \"\(column)\" has type \(type), of which \(part) cannot be read yet")
      }
      return type
    } catch {
      throw .failed(error)
    }
  }

  private static func layout(
    _ columns: [(name: String, type: ColumnType)], _ layout: BlockLayout?
  ) throws(NativeInput.Stop) -> BlockLayout {
    if let layout, layout.names == columns.map(\.name), layout.types == columns.map(\.type) { return layout }
    do throws(ClickHouseError) {
      return try BlockLayout(columns)
    } catch {
      throw .failed(error)
    }
  }
}

/// Bytes with a position, and what can be wrong with them.
@safe struct NativeInput {
  enum Stop: Error {
    /// The bytes end; more may come.
    case ended
    case failed(ClickHouseError)
  }

  private let bytes: UnsafeRawBufferPointer
  private(set) var position = 0

  init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

  var left: Int { unsafe bytes.count - position }

  /// The next byte, without taking it; nil at the end.
  var next: UInt8? { unsafe position < bytes.count ? bytes[position] : nil }

  mutating func varUInt() throws(Stop) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      guard unsafe position < bytes.count else { throw .ended }
      let byte = unsafe bytes[position]
      position += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
      guard shift < 64 else { throw .failed(.malformed("a number of more than 64 bits")) }
    }
  }

  mutating func count(limit: Int, of what: String) throws(Stop) -> Int {
    let value = try varUInt()
    guard value <= UInt64(limit) else {
      throw .failed(ClickHouseError(code: .limitExceeded, message: "\(value) \(what) where \(limit) are allowed"))
    }
    return Int(value)
  }

  mutating func word() throws(Stop) -> UInt64 {
    unsafe (try take(8)).loadUnaligned(as: UInt64.self)
  }

  /// The next bytes, borrowed from what was given.
  mutating func take(_ count: Int) throws(Stop) -> UnsafeRawBufferPointer {
    guard unsafe count <= bytes.count - position else { throw .ended }
    defer { position += count }
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  mutating func text() throws(Stop) -> String {
    let count = try count(limit: 1 << 20, of: "bytes of a name")
    return unsafe String(decoding: try take(count), as: UTF8.self)
  }
}

extension ClickHouseError {
  static func malformed(_ what: String) -> ClickHouseError {
    ClickHouseError(code: .malformedData, message: "Native data is malformed: \(what)")
  }
}

extension Column {
  func readPrefixes(_ input: inout NativeInput) throws(NativeInput.Stop) {
    if shape == .dictionary {
      let version = try input.word()
      guard version == 1 else { throw .failed(.malformed("LowCardinality of version \(version)")) }
    }
    for index in 0..<childCount { try unsafe childBase[index].readPrefixes(&input) }
  }

  mutating func read(_ rows: Int, _ input: inout NativeInput) throws(NativeInput.Stop) {
    if shape == .dictionary { return try readDictionary(rows, &input) }
    if isNullable { try unsafe nulls.append(input.take(rows)) }
    switch shape {
    case .fixed, .nullableFixed: try unsafe data.append(input.take(rows * width))
    case .string, .nullableString, .indexedString:
      for _ in 0..<rows {
        let count = try input.count(limit: 1 << 30, of: "bytes of a string")
        let bytes = try unsafe input.take(count)
        lastStart = data.count
        if shape == .indexedString { starts.append(data.count) }
        unsafe data.append(string: bytes)
      }
    case .array:
      try unsafe data.append(input.take(rows * width))
      var last: UInt64 = 0
      for row in 0..<rows {
        let end = unsignedValue(row: row)
        guard end >= last else { throw .failed(.malformed("array ends that do not ascend in \(type)")) }
        last = end
      }
      // An element takes a byte at least.
      guard last <= UInt64(input.left) else { throw .ended }
      for index in 0..<childCount { try unsafe childBase[index].read(Int(last), &input) }
    case .tuple: for index in 0..<childCount { try unsafe childBase[index].read(rows, &input) }
    case .dictionary: preconditionFailure("read above")
    }
    rowCount += rows
  }

  /// 18.16 writes a dictionary also for arrays that are all empty, and cannot read that itself. Nothing else that may stand
  /// behind a column begins with a zero byte: no name is empty, and no block is without columns.
  func skipUnusedDictionary(_ input: inout NativeInput) throws(NativeInput.Stop) {
    guard shape == .array, input.next == 0 else { return }
    try unsafe childBase[0].skipOwnUnusedDictionary(&input)
  }

  private func skipOwnUnusedDictionary(_ input: inout NativeInput) throws(NativeInput.Stop) {
    guard rowCount == 0 else { return }
    if shape == .array { return try unsafe childBase[0].skipOwnUnusedDictionary(&input) }
    guard shape == .dictionary, let dictionary = unsafe dictionary else { return }
    _ = try input.word()
    let keyCount = try input.word()
    guard keyCount <= 2 else { throw .failed(.malformed("\(keyCount) keys in a dictionary of \(type) without rows")) }
    let keyWidth = unsafe dictionary.pointee.keyWidth
    for _ in 0..<keyCount {
      _ = try unsafe input.take(keyWidth > 0 ? keyWidth : try input.count(limit: 1 << 30, of: "bytes of a key"))
    }
    guard try input.word() == 0 else { throw .failed(.malformed("a dictionary of \(type) without rows")) }
  }

  private mutating func readDictionary(_ rows: Int, _ input: inout NativeInput) throws(NativeInput.Stop) {
    guard rows > 0, let dictionary = unsafe dictionary else { return }
    let flags = try input.word()
    guard flags & 0xFF <= 2, flags & (1 << 8) == 0, flags & (1 << 9) != 0 else {
      throw .failed(.malformed("LowCardinality with flags \(flags)"))
    }
    let keyCount = try input.word()
    guard keyCount < 1 << 30 else { throw .failed(.malformed("a dictionary of \(keyCount) keys")) }
    unsafe dictionary.pointee.removeAllForReading()
    let keyWidth = unsafe dictionary.pointee.keyWidth
    for _ in 0..<keyCount {
      let count = keyWidth > 0 ? keyWidth : try input.count(limit: 1 << 30, of: "bytes of a key")
      try unsafe dictionary.pointee.appendEntry(input.take(count))
    }
    let count = try input.word()
    guard count == UInt64(rows) else { throw .failed(.malformed("\(count) numbers for \(rows) rows of \(type)")) }
    width = 1 << Int(flags & 0xFF)
    try unsafe data.append(input.take(rows * width))
    for row in 0..<rows where unsignedValue(row: row) >= keyCount {
      throw .failed(.malformed("key \(unsignedValue(row: row)) of \(keyCount) in \(type)"))
    }
    rowCount += rows
  }
}
