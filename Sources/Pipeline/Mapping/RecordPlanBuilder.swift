internal import ClickHouseClient
internal import SinkBytes

/// Gathers a plan's tables, and every problem on the way.
struct RecordPlanBuilder {
  let mapping: MappingConfiguration
  let zonesByName: [String: ZoneTransitions]
  let server: ServerTraits
  /// Columns whose DEFAULT is the server's to compute, though it looks like a literal.
  let computed: Set<String>

  private(set) var problems: [MappingProblem] = []
  private(set) var layout: [(name: String, type: ColumnType)] = []
  private(set) var types: [ColumnType] = []
  private(set) var ops: [ColumnOp] = []
  private(set) var fills: [ColumnFill] = []
  private(set) var nodes: [RecordPlan.Node] = []
  private(set) var zones: [ZoneTransitions] = []
  private(set) var enums: [RecordPlan.EnumNames] = []
  private(set) var tuples: [KeyTable] = []
  private(set) var needsNullAsDefault = false
  private var zoneIndices: [String: Int32] = [:]

  init(
    mapping: MappingConfiguration, zonesByName: [String: ZoneTransitions], server: ServerTraits,
    computed: Set<String>
  ) {
    self.mapping = mapping
    self.zonesByName = zonesByName
    self.server = server
    self.computed = computed
  }

  mutating func build(_ table: TableDescription) {
    let paths = readMapping(table)
    var tree = PathTree()
    var chosen: [ColumnDescription] = []
    for column in table.insertable {
      var metadata: MetadataKind?
      switch paths[column.name] {
      case .some(nil): continue
      case .some(let path?): insert(path, column, at: chosen.count, into: &tree)
      case nil:
        metadata = MetadataKind.allCases.first { $0.name == column.name }
        if metadata == nil, mapping.format == .json || isRawColumn(column.name, paths) {
          insert([column.name], column, at: chosen.count, into: &tree)
        }
      }
      // A raw record has one field; other columns are filled as if theirs were absent.
      if mapping.format == .raw, metadata == nil, !isRawColumn(column.name, paths) {
        guard column.defaultKind == .none else { continue }
      }
      add(column, metadata)
      chosen.append(column)
    }
    if chosen.isEmpty { report(nil, "table \(table.name) has no column that a record could fill") }
    if mapping.format == .raw { checkRaw(chosen.filter { isRawColumn($0.name, paths) }, table) }
    appendChildOps()
    nodes = tree.makeNodes()
  }

  private mutating func checkRaw(_ columns: [ColumnDescription], _ table: TableDescription) {
    guard let column = columns.first, columns.count == 1 else {
      return report(
        nil, "format raw fills one column, named value or mapped; table \(table.name) has \(columns.count) of them")
    }
    if column.type.unwrapped != .string {
      report(column.name, "takes raw bytes and must be String, not \(column.type)")
    }
  }

  private func isRawColumn(_ name: String, _ paths: [String: [String]?]) -> Bool {
    if let path = paths[name] { return path != nil }
    return name == "value" && !paths.contains { $0.value != nil }
  }

  private mutating func report(_ column: String?, _ message: String) {
    problems.append(MappingProblem(column: column, message: message))
  }

  private mutating func readMapping(_ table: TableDescription) -> [String: [String]?] {
    var paths: [String: [String]?] = [:]
    for entry in mapping.columns {
      guard let column = table.columns.first(where: { $0.name == entry.column }) else {
        let near = table.columns.map(\.name).sorted().joined(separator: ", ")
        report(entry.column, "table \(table.name) has no such column; it has \(near)")
        continue
      }
      if column.defaultKind != .none, column.defaultKind != .default {
        report(entry.column, "is \(column.defaultKind.rawValue): an insert cannot fill it")
        continue
      }
      let path = entry.path.map(Self.split)
      if let path, path.contains("") {
        report(entry.column, "the path '\(entry.path ?? "")' has an empty name in it")
        continue
      }
      if paths.updateValue(path, forKey: entry.column) != nil { report(entry.column, "is mapped twice") }
    }
    return paths
  }

  /// Parts a path at its dots; a backslash keeps the next character.
  static func split(_ path: String) -> [String] {
    var parts = [""]
    var isEscaped = false
    for character in path {
      if isEscaped {
        parts[parts.count - 1].append(character)
        isEscaped = false
      } else if character == "\\" {
        isEscaped = true
      } else if character == "." {
        parts.append("")
      } else {
        parts[parts.count - 1].append(character)
      }
    }
    return parts
  }

  private mutating func insert(_ path: [String], _ column: ColumnDescription, at index: Int, into tree: inout PathTree)
  {
    if let other = tree.insert(path, column: index) {
      let words =
        other < 0
        ? "is an object that other columns take fields of"
        : "goes to column \(layout[other].name) already, or lies inside it"
      report(
        column.name, "the field \(path.joined(separator: ".")) \(words): map one of them to another path, or to null")
    }
  }

  /// One column of the layout: its type, its op and what fills it.
  private mutating func add(_ column: ColumnDescription, _ metadata: MetadataKind?) {
    var type = column.type
    var fill = ColumnFill.typeDefault
    if let metadata {
      fill = .metadata(metadata)
      if let problem = metadata.problem(with: type) { report(column.name, problem) }
    } else if column.defaultKind == .default {
      if let literal = constant(column) {
        fill = .literal(literal)
      } else if let nullable = type.madeNullable, server.nullAsDefault {
        type = nullable
        fill = .null
        needsNullAsDefault = true
      } else {
        report(
          column.name,
          "has the DEFAULT \(column.defaultExpression), which only the server can compute, and type \(type) "
            + (server.nullAsDefault
              ? "cannot say for one row that it is left out"
              : "cannot be left out of single rows with this server version")
            + ": map the column to null, so that the server fills it in every row, or give it a constant DEFAULT")
      }
    } else if type.acceptsNull {
      fill = .null
    }
    if let part = type.firstUnsupported {
      report(
        column.name,
        "has type \(type), of which \(part) cannot be written yet: map the column to null, or leave it out of the table"
      )
      return
    }
    layout.append((column.name, type))
    types.append(column.type)
    fills.append(fill)
  }

  /// A DEFAULT that we write. It means what it means to the server: there a bare number is seconds, also one of 13 digits,
  /// which in a record is milliseconds.
  private func constant(_ column: ColumnDescription) -> [UInt8]? {
    guard !computed.contains(column.name), let literal = DefaultLiteral.json(column.defaultExpression) else {
      return nil
    }
    let digits = literal.first == 0x2D ? literal.dropFirst() : literal[...]
    switch column.type.unwrapped {
    case .dateTime, .dateTime64: return digits.count > 12 && digits.allSatisfy { 0x30...0x39 ~= $0 } ? nil : literal
    default: return literal
    }
  }

  /// The columns' own ops first, then those of their elements: each op's elements lie together.
  private mutating func appendChildOps() {
    guard problems.isEmpty else { return }
    var pending = layout.map(\.type)
    var index = 0
    while index < pending.count {
      let type = pending[index]
      var op = makeOp(type)
      // As the table has it: that a column is Nullable in the layout for the sake of its DEFAULT is not the record's to use.
      if index < types.count { op.isNullable = types[index].acceptsNull }
      let children = type.unwrapped.elementTypes
      op.firstChild = Int32(pending.count)
      op.childCount = Int32(children.count)
      pending += children
      ops.append(op)
      index += 1
    }
  }

  private mutating func makeOp(_ type: ColumnType) -> ColumnOp {
    var op = ColumnOp(kind: type.unwrapped.opKind, isNullable: type.acceptsNull)
    switch type.unwrapped {
    case .fixedString(let size): op.size = Int32(size)
    case .decimal(let precision, let scale):
      (op.precision, op.size) = (Int32(precision), Int32(scale))
      op.limit = UInt64(clamping: PowersOfTen.int128(precision))
    case .dateTime(let zone): op.table = zoneIndex(zone)
    case .dateTime64(let precision, let zone): (op.size, op.table) = (Int32(precision), zoneIndex(zone))
    case .enum8(let cases), .enum16(let cases):
      op.table = Int32(enums.count)
      enums.append(RecordPlan.EnumNames(cases))
    case .tuple(let elements):
      let names = elements.compactMap(\.name)
      guard names.count == elements.count else { break }
      op.table = Int32(tuples.count)
      tuples.append(KeyTable(names))
    default: break
    }
    return op
  }

  private mutating func zoneIndex(_ zone: String?) -> Int32 {
    let name = zone ?? server.zone
    if let known = zoneIndices[name] { return known }
    let index = Int32(zones.count)
    zones.append(zonesByName[name] ?? .utc)
    zoneIndices[name] = index
    return index
  }
}

/// Paths that share their beginnings, on their way to become nodes.
private struct PathTree {
  private struct Entry {
    let name: String
    var column: Int32 = -1
    var child: Int32 = -1
  }

  private var nodes: [[Entry]] = [[]]

  /// - Returns: nil, or who is in the way: the column that has this field, or -1 for fields inside it.
  mutating func insert(_ path: [String], column: Int) -> Int? {
    var node = 0
    for (depth, name) in path.enumerated() {
      let index: Int
      if let found = nodes[node].firstIndex(where: { $0.name == name }) {
        index = found
        if nodes[node][index].column >= 0 { return Int(nodes[node][index].column) }
      } else {
        index = nodes[node].count
        nodes[node].append(Entry(name: name))
      }
      if depth == path.count - 1 {
        guard nodes[node][index].child < 0 else { return -1 }
        nodes[node][index].column = Int32(column)
        return nil
      }
      if nodes[node][index].child < 0 {
        nodes[node][index].child = Int32(nodes.count)
        nodes.append([])
      }
      node = Int(nodes[node][index].child)
    }
    return nil
  }

  func makeNodes() -> [RecordPlan.Node] {
    nodes.map { entries in
      RecordPlan.Node(
        names: entries.map(\.name), table: KeyTable(entries.map(\.name)), columns: entries.map(\.column),
        children: entries.map(\.child))
    }
  }
}
