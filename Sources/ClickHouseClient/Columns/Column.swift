public import SinkBytes

/// The values of one column, laid out as ClickHouse's Native format sends them, so that writing a block is a copy.
///
/// Values go in as they lie on the wire: integers, dates as day numbers, times as ticks, decimals as scaled integers,
/// floats as bit patterns, enums as their numbers, a UUID as its two halves. Nothing is checked here beyond what keeps
/// memory safe; `Block.appendRow` is the checked door.
///
/// An `Array` or `Map` row is written by appending its elements to the children and closing it with `finishArray`; a
/// `Tuple` row by appending to every child and closing it with `finishTuple`. `truncate(toRows:)` takes a row back.
///
/// Source: ClickHouse, "Native format".
@frozen @safe public struct Column: ~Copyable, @unchecked Sendable {
  // Sendable: the children and the dictionary have one owner, and the owner moves.

  /// How the values of a type are kept, which is what the appends branch on.
  @frozen @usableFromInline enum Shape: UInt8 {
    /// Values of one width, without and with a null map.
    case fixed, nullableFixed
    /// Length and bytes, without and with a null map.
    case string, nullableString
    /// The same, with the place of each string: inside arrays, where a row to take back is many strings, and in what
    /// was read, where values are asked for by row.
    case indexedString
    /// Numbers of the keys of a dictionary.
    case dictionary
    /// The end of each row in the children: one child for `Array`, two for `Map`.
    case array
    case tuple
  }

  public let type: ColumnType
  @usableFromInline var shape: Shape
  @usableFromInline let isNullable: Bool
  /// Bytes of one value; of one dictionary number, which grows with the dictionary; 0 for strings and tuples.
  @usableFromInline var width: Int
  @usableFromInline var rowCount = 0
  @usableFromInline var data: ByteBuffer
  /// One byte a row, 1 for NULL; empty where the type is not `Nullable`.
  @usableFromInline var nulls: ByteBuffer
  /// Where the last string begins, for the row to be taken back.
  @usableFromInline var lastStart = 0
  /// Where every string begins, as `Int`; only for `indexedString`.
  @usableFromInline var starts: ByteBuffer
  @usableFromInline let childBase: UnsafeMutablePointer<Column>
  public let childCount: Int
  @usableFromInline let dictionary: UnsafeMutablePointer<ColumnDictionary>?
  let defaultBits: UInt64

  /// An empty column with room for so many rows of fixed width, and a guess where they are not.
  ///
  /// The type must be writable (`ColumnType.isWritable`); anything else is a programmer's error here and is reported by
  /// `Block.init`.
  public init(_ type: ColumnType, capacityRows: Int = 0) {
    self.init(type, capacityRows: capacityRows, isIndexed: false)
  }

  /// `isIndexed` keeps the place of every string.
  init(_ type: ColumnType, capacityRows: Int, isIndexed: Bool) {
    precondition(type.isWritable, "no column of type \(type): \(type.firstUnsupported ?? "")")
    var inner = type
    if case .nullable(let wrapped) = type { inner = wrapped }
    let isNullable = inner != type
    let childTypes: [ColumnType]
    var width = inner.fixedWidth ?? 0
    switch inner {
    case .array(let element): (shape, childTypes, width) = (.array, [element], 8)
    case .map(let key, let value): (shape, childTypes, width) = (.array, [key, value], 8)
    case .tuple(let elements): (shape, childTypes) = (.tuple, elements.map(\.type))
    case .lowCardinality: (shape, childTypes, width) = (.dictionary, [], 1)
    case .string: (shape, childTypes) = (isIndexed ? .indexedString : isNullable ? .nullableString : .string, [])
    default: (shape, childTypes) = (isNullable ? .nullableFixed : .fixed, [])
    }
    self.type = type
    self.isNullable = isNullable
    self.width = width
    defaultBits = inner.defaultBits
    data = ByteBuffer(capacity: capacityRows * (inner == .string ? 16 : width))
    nulls = ByteBuffer(capacity: isNullable ? capacityRows : 0)
    starts = ByteBuffer()
    childCount = childTypes.count
    unsafe childBase = UnsafeMutablePointer<Column>.allocate(capacity: max(childCount, 1))
    for (index, childType) in childTypes.enumerated() {
      // Strings in arrays are indexed; a tuple's take back one row like those outside.
      let isIndexed = isIndexed || shape == .array
      unsafe (childBase + index).initialize(
        to: Column(childType, capacityRows: capacityRows, isIndexed: isIndexed))
    }
    if case .lowCardinality(let key) = inner {
      let dictionary = UnsafeMutablePointer<ColumnDictionary>.allocate(capacity: 1)
      unsafe dictionary.initialize(to: ColumnDictionary(key))
      unsafe self.dictionary = dictionary
    } else {
      unsafe dictionary = nil
    }
  }

  deinit {
    unsafe childBase.deinitialize(count: childCount)
    unsafe childBase.deallocate()
    unsafe dictionary?.deinitialize(count: 1)
    unsafe dictionary?.deallocate()
  }

  /// Rows that are whole.
  public var rows: Int { @inlinable get { rowCount } }

  /// The element column of an `Array`, the key and value columns of a `Map`, the element columns of a `Tuple`. Valid as
  /// long as this column is.
  @unsafe public var children: UnsafeMutablePointer<Column> { @inlinable get { unsafe childBase } }

  /// Lends one of the children.
  @inlinable public mutating func withChild<Result: ~Copyable, Failure: Error>(
    _ index: Int, _ body: (inout Column) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(index >= 0 && index < childCount, "child \(index) of \(childCount)")
    return try unsafe body(&childBase[index])
  }

  /// Bytes that the column puts into a block, nearly: prefixes of a few bytes are left out.
  public var byteCount: Int {
    var total = data.count + nulls.count
    for index in 0..<childCount { total += unsafe childBase[index].byteCount }
    if let dictionary = unsafe dictionary { total += unsafe dictionary.pointee.keys.count }
    return total
  }

  /// Bytes that the column holds of the process's memory.
  public var capacityBytes: Int {
    var total = data.capacity + nulls.capacity + starts.capacity
    for index in 0..<childCount { total += unsafe childBase[index].capacityBytes }
    if let dictionary = unsafe dictionary { total += unsafe dictionary.pointee.capacityBytes }
    return total
  }

  /// Forgets all rows and keeps the memory for the next ones, up to `limitBytes` in each of its buffers.
  public mutating func removeAll(keepingAtMost limitBytes: Int = 64 << 20) {
    rowCount = 0
    lastStart = 0
    data.removeAll()
    data.shrink(toCapacity: limitBytes)
    nulls.removeAll()
    nulls.shrink(toCapacity: limitBytes)
    starts.removeAll()
    starts.shrink(toCapacity: limitBytes)
    for index in 0..<childCount { unsafe childBase[index].removeAll(keepingAtMost: limitBytes) }
    if let dictionary = unsafe dictionary {
      width = 1
      unsafe dictionary.pointee.removeAll(keepingAtMost: limitBytes)
    }
  }
}
