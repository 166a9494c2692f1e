extension Block {
  /// Appends a row of checked values, in any order; a column that is not named takes its type's default.
  ///
  /// Throws `invalidValue` for a name that the block does not have, one given twice, and a value that does not fit its
  /// column, with the column, its type and the value; the block is then as it was.
  public mutating func appendRow(_ values: KeyValuePairs<String, ClickHouseValue>) throws(ClickHouseError) {
    try appendRow(values.map { ($0.key, $0.value) })
  }

  /// The same, for names that are known only at run time.
  public mutating func appendRow(_ values: [(name: String, value: ClickHouseValue)]) throws(ClickHouseError) {
    var given = [ClickHouseValue?](repeating: nil, count: columnCount)
    for (name, value) in values {
      guard let index = layout.index(of: name) else {
        throw ClickHouseError(
          code: .invalidValue,
          message: "the block has no column \"\(name)\"; it has \(layout.names.joined(separator: ", "))")
      }
      guard given[index] == nil else {
        throw ClickHouseError(code: .invalidValue, message: "column \"\(name)\" is given twice in a row")
      }
      given[index] = value
    }
    do throws(ClickHouseError) {
      for index in 0..<columnCount {
        if let value = given[index] {
          try unsafe base[index].append(value, named: layout.names[index], of: layout.types[index])
        } else {
          unsafe base[index].appendDefault()
        }
      }
    } catch {
      rollbackRow()
      throw error
    }
    endRow()
  }

  /// Reads a value back. Quick in blocks that were read from a server; in one being written, a string is found by
  /// walking over those before it.
  public func value(row: Int, column: Int) -> ClickHouseValue {
    precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
    precondition(column >= 0 && column < columnCount, "column \(column) of \(columnCount)")
    return unsafe base[column].value(row: row)
  }

  /// Appends all rows of a block with the same columns.
  public mutating func append(_ other: borrowing Block) {
    precondition(layout.names == other.layout.names, "rows of a block with other columns")
    for index in 0..<columnCount {
      unsafe base[index].append(rows: 0..<other.rows, of: other.base[index])
    }
    close(rows: other.rows)
  }

  /// A copy of some rows, for a rejected block that is cut in two.
  public func slice(rows range: Range<Int>) -> Block {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(rows)")
    var result = Block(layout: layout, capacityRows: range.count)
    for index in 0..<columnCount {
      result.withColumn(index) { unsafe $0.append(rows: range, of: base[index]) }
    }
    result.close(rows: range.count)
    return result
  }

  /// Counts rows that were appended to all columns at once.
  mutating func close(rows more: Int) {
    rowCount += more
    precondition(hasEqualColumns, "the columns of a block are not of one length")
  }
}
