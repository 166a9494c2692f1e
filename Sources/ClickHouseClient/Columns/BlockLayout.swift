/// The names and types of a block's columns: what an `INSERT` lists. Blocks share it.
public final class BlockLayout: Sendable {
  public let names: [String]
  public let types: [ColumnType]
  /// The table that the columns were read from, where they were: where an insert goes by default.
  public let table: TableName?
  private let indices: [String: Int]

  /// Throws `invalidValue` for two columns of one name, `unsupportedType` for a type that cannot be written, with the
  /// name of the column and the part of its type.
  public init(_ columns: [(name: String, type: ColumnType)], table: TableName? = nil) throws(ClickHouseError) {
    var indices: [String: Int] = [:]
    for (index, column) in columns.enumerated() {
      if let part = column.type.firstUnsupported {
        throw ClickHouseError(
          code: .unsupportedType,
          message: "column \"\(column.name)\" has type \(column.type), of which \(part) cannot be written or read yet: "
            + "leave the column out, or CAST it to a type that can")
      }
      guard indices.updateValue(index, forKey: column.name) == nil else {
        throw ClickHouseError(
          code: .invalidValue, message: "column \"\(column.name)\" is named twice; an alias tells them apart")
      }
    }
    names = columns.map(\.name)
    types = columns.map(\.type)
    self.indices = indices
    self.table = table
  }

  public var columnCount: Int { names.count }

  /// The place of a column; `nil` where there is none of that name.
  public func index(of name: String) -> Int? { indices[name] }
}
