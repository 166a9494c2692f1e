/// How a record's value is read.
public enum RecordFormat: String, Sendable, CaseIterable {
  /// A JSON object (RFC 8259); fields go to columns by name.
  case json
  /// Any bytes: the value goes to the column `value`, or to the one column that is mapped.
  case raw
}

/// What becomes of fields that no column takes.
public enum UnknownFieldsPolicy: String, Sendable, CaseIterable {
  case ignore
  /// Ignored, and counted in `sinkctl_unknown_fields_total`.
  case count
  /// The record becomes a dead letter that names the field.
  case reject
}

/// Which field of a record goes to which column.
public struct MappingConfiguration: Sendable {
  public struct Column: Sendable, Equatable {
    public var column: String
    /// Names from the outside in, parted by dots (`user.id`); a backslash before a dot makes it part of a name. nil
    /// leaves the column to the server, whatever a record holds.
    public var path: String?

    public init(_ column: String, path: String?) {
      self.column = column
      self.path = path
    }
  }

  public var format: RecordFormat
  /// Columns that are not named here take the field of their own name.
  public var columns: [Column]
  public var unknownFields: UnknownFieldsPolicy

  public init(
    format: RecordFormat = .json, columns: [Column] = [], unknownFields: UnknownFieldsPolicy = .ignore
  ) {
    self.format = format
    self.columns = columns
    self.unknownFields = unknownFields
  }
}

/// Why a table and a mapping do not fit.
public struct MappingProblem: Sendable, Equatable, CustomStringConvertible {
  /// nil where it is about the table as a whole.
  public let column: String?
  public let message: String

  public var description: String { column.map { "column \($0): \(message)" } ?? message }
}
