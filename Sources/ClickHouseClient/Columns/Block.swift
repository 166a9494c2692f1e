/// Columns of equal length: what one `INSERT` carries and one Native block holds.
///
/// Rows are written column by column, each row closed with `endRow` or taken back with `rollbackRow`; `appendRow` does
/// both, checked, for small users.
@frozen @safe public struct Block: ~Copyable, @unchecked Sendable {
  // Sendable: the columns have one owner, and the owner moves.

  /// The names and types of the columns.
  public let layout: BlockLayout
  public let columnCount: Int
  @usableFromInline let base: UnsafeMutablePointer<Column>
  @usableFromInline var rowCount: Int

  /// An empty block with room for so many rows.
  ///
  /// Throws `unsupportedType` for a type that cannot be written, `invalidValue` for two columns of one name.
  public init(columns: [(name: String, type: ColumnType)], capacityRows: Int = 0) throws(ClickHouseError) {
    self.init(layout: try BlockLayout(columns), capacityRows: capacityRows)
  }

  /// An empty block with the columns of another.
  public init(layout: BlockLayout, capacityRows: Int = 0) {
    let base = UnsafeMutablePointer<Column>.allocate(capacity: max(layout.columnCount, 1))
    for (index, type) in layout.types.enumerated() {
      unsafe (base + index).initialize(to: Column(type, capacityRows: capacityRows))
    }
    unsafe self.init(layout: layout, adopting: base, rows: 0)
  }

  /// Takes over initialised columns, as many as the layout has.
  @unsafe init(layout: BlockLayout, adopting base: UnsafeMutablePointer<Column>, rows: Int) {
    self.layout = layout
    columnCount = layout.columnCount
    unsafe self.base = base
    rowCount = rows
  }

  deinit {
    unsafe base.deinitialize(count: columnCount)
    unsafe base.deallocate()
  }

  /// Rows that are closed.
  public var rows: Int { @inlinable get { rowCount } }
  public var isEmpty: Bool { @inlinable get { rowCount == 0 } }

  /// The columns, for a loop that writes rows: `columnCount` of them, valid as long as the block is.
  @unsafe public var columns: UnsafeMutablePointer<Column> { @inlinable get { unsafe base } }

  /// Lends one of the columns.
  @inlinable public mutating func withColumn<Result: ~Copyable, Failure: Error>(
    _ index: Int, _ body: (inout Column) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(index >= 0 && index < columnCount, "column \(index) of \(columnCount)")
    return try unsafe body(&base[index])
  }

  /// Closes a row: every column has got its value.
  @inlinable public mutating func endRow() {
    rowCount &+= 1
    assert(hasEqualColumns, "a row was closed while a column lacks its value")
  }

  /// Takes back what the columns hold beyond the closed rows: a row that turned out bad on the way.
  public mutating func rollbackRow() {
    for index in 0..<columnCount { unsafe base[index].truncate(toRows: min(rowCount, base[index].rows)) }
  }

  /// Forgets all rows and keeps the memory for the next ones, up to `limitBytes` in each buffer of a column.
  public mutating func removeAll(keepingAtMost limitBytes: Int = 64 << 20) {
    rowCount = 0
    for index in 0..<columnCount { unsafe base[index].removeAll(keepingAtMost: limitBytes) }
  }

  /// Bytes of the block as it goes out uncompressed, nearly.
  public var byteCount: Int {
    var total = 0
    for index in 0..<columnCount { total += unsafe base[index].byteCount }
    return total
  }

  /// Bytes that the block holds of the process's memory.
  public var capacityBytes: Int {
    var total = 0
    for index in 0..<columnCount { total += unsafe base[index].capacityBytes }
    return total
  }

  /// Whether every column has exactly the closed rows.
  @usableFromInline var hasEqualColumns: Bool {
    for index in 0..<columnCount where unsafe base[index].rows != rowCount { return false }
    return true
  }
}
