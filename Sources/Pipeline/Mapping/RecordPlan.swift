internal import ClickHouseClient
internal import SinkBytes

/// Which field of a record goes to which column, and how: resolved once from a table's schema, only read after.
final class RecordPlan: Sendable {
  /// An object in a record: the names that matter, and where each leads.
  struct Node: Sendable {
    let names: [String]
    let table: KeyTable
    /// By the name's number: the column, or -1.
    let columns: [Int32]
    /// By the name's number: the node of the object inside, or -1.
    let children: [Int32]
  }

  final class EnumNames: Sendable {
    private let table: KeyTable
    private let values: [Int16]

    init(_ cases: [EnumCase]) {
      table = KeyTable(cases.map(\.name))
      values = cases.map(\.value)
    }

    func value(of name: UnsafeRawBufferPointer) -> Int16? {
      let found = unsafe table.find(name)
      return found < 0 ? nil : values[Int(found)]
    }

    func contains(_ value: Int16) -> Bool { values.contains(value) }
  }

  /// The columns that an insert carries, in their order.
  let layout: BlockLayout
  /// The types as the table has them: a column with an expression DEFAULT is `Nullable` in the layout only.
  let types: [ColumnType]
  let format: RecordFormat
  let unknownFields: UnknownFieldsPolicy
  /// By column; the ops of elements follow those of the columns.
  let ops: [ColumnOp]
  let fills: [ColumnFill]
  let hasMetadata: Bool
  /// The first is the record itself.
  let nodes: [Node]
  let zones: [ZoneTransitions]
  let times: TimeRange
  let enums: [EnumNames]
  /// Names of the elements of named tuples.
  let tuples: [KeyTable]
  /// Settings that the inserts of this plan need.
  let requiredSettings: [(String, String)]

  init(_ builder: consuming RecordPlanBuilder, layout: BlockLayout) {
    self.layout = layout
    types = builder.types
    format = builder.mapping.format
    unknownFields = builder.mapping.unknownFields
    ops = builder.ops
    fills = builder.fills
    hasMetadata = builder.fills.contains { if case .metadata = $0 { true } else { false } }
    nodes = builder.nodes
    zones = builder.zones
    times = builder.server.times
    enums = builder.enums
    tuples = builder.tuples
    requiredSettings = builder.needsNullAsDefault ? [("input_format_null_as_default", "1")] : []
  }

  /// Fits a mapping to a table.
  /// - Parameters:
  ///   - zones: the transitions of every zone that the table's columns name (`ColumnType.timeZones`).
  /// - Returns: the plan, or every problem at once.
  static func resolve(
    table: TableDescription, mapping: MappingConfiguration, zones: [String: ZoneTransitions], server: ServerTraits
  ) -> Result<RecordPlan, MappingProblems> {
    // A literal that its column would refuse, such as 300 for a UInt8, means what the server makes of it.
    var computed: Set<String> = []
    while true {
      var builder = RecordPlanBuilder(mapping: mapping, zonesByName: zones, server: server, computed: computed)
      builder.build(table)
      guard builder.problems.isEmpty else { return .failure(MappingProblems(builder.problems)) }
      do throws(ClickHouseError) {
        let plan = RecordPlan(builder, layout: try BlockLayout(builder.layout))
        guard let column = RowReader.firstUnfitLiteral(of: plan) else { return .success(plan) }
        computed.insert(plan.layout.names[column])
      } catch {
        return .failure(MappingProblems([MappingProblem(column: nil, message: error.message)]))
      }
    }
  }
}

/// Every reason why a mapping and a table do not fit.
struct MappingProblems: Error {
  let problems: [MappingProblem]

  init(_ problems: [MappingProblem]) { self.problems = problems }
}

extension ColumnType {
  /// The zones that must be known to read local times into such a column; "" stands for the server's own.
  var timeZones: Set<String> {
    switch self {
    case .dateTime(let zone), .dateTime64(_, let zone): [zone ?? ""]
    case .nullable(let inner), .lowCardinality(let inner), .array(let inner): inner.timeZones
    case .tuple(let elements): elements.reduce(into: []) { $0.formUnion($1.type.timeZones) }
    case .map(let key, let value): key.timeZones.union(value.timeZones)
    default: []
    }
  }
}
