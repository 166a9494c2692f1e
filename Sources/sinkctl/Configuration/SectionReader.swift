internal import SinkTelemetry

/// Gathers every problem of a file, instead of ending at the first.
final class ProblemList {
  private(set) var problems: [ConfigurationProblem] = []
  let file: String

  init(file: String) { self.file = file }

  func report(_ mark: SourceMark?, _ message: String) {
    problems.append(ConfigurationProblem(file: file, mark: mark, message: message))
  }
}

/// One section of the file: hands out values by key, typed, and knows afterwards which keys nobody asked for.
final class SectionReader {
  let name: String
  let mark: SourceMark
  let problems: ProblemList
  let environment: Environment
  private let entries: [(key: String, mark: SourceMark, value: YAMLNode)]
  private var known: [String] = []

  init?(_ node: YAMLNode?, name: String, problems: ProblemList, environment: Environment) {
    guard let node, !node.isNull else { return nil }
    guard case .mapping(let entries) = node.content else {
      problems.report(node.mark, "\(name) must be a section of keys and values, not \(node.kind)")
      return nil
    }
    self.name = name
    self.mark = node.mark
    self.problems = problems
    self.environment = environment
    self.entries = entries
  }

  func path(_ key: String) -> String { name.isEmpty ? key : "\(name).\(key)" }

  func node(_ key: String) -> YAMLNode? {
    known.append(key)
    return entries.first { $0.key == key }?.value
  }

  func mark(of key: String) -> SourceMark { entries.first { $0.key == key }?.mark ?? mark }

  var allEntries: [(key: String, mark: SourceMark, value: YAMLNode)] { entries }

  func section(_ key: String) -> SectionReader? {
    SectionReader(node(key), name: path(key), problems: problems, environment: environment)
  }

  func text(_ key: String) -> String? {
    guard let node = node(key), !node.isNull else { return nil }
    return text(node, path(key))
  }

  func text(_ node: YAMLNode, _ name: String) -> String? {
    guard case .scalar(let raw, _) = node.content else {
      problems.report(node.mark, "\(name) must be a single value, not \(node.kind)")
      return nil
    }
    switch environment.expand(raw) {
    case .success(let text): return text
    case .failure(let problem):
      problems.report(node.mark, "\(name): \(problem.message)")
      return nil
    }
  }

  /// A secret from `key`, or from the file that `key_file` names; one line break at its end is not part of it.
  func secret(_ key: String) -> Secret? {
    let direct = text(key)
    guard let path = text(key + "_file") else { return direct.map { Secret($0) } }
    if direct != nil {
      problems.report(mark(of: key), "\(self.path(key)) and \(self.path(key))_file are both set; keep one")
    }
    switch environment.readFile(path) {
    case .success(let text): return Secret(text.hasSuffix("\n") ? String(text.dropLast()) : text)
    case .failure(let problem):
      problems.report(mark(of: key + "_file"), "\(self.path(key))_file: \(problem.message)")
      return nil
    }
  }

  func list(_ key: String) -> [String]? {
    guard let node = node(key), !node.isNull else { return nil }
    switch node.content {
    case .scalar: return text(node, path(key)).map { [$0] }
    case .sequence(let items): return items.compactMap { text($0, path(key)) }
    case .mapping:
      problems.report(node.mark, "\(path(key)) must be a list, not a section")
      return nil
    }
  }

  /// A section whose keys are the user's own.
  func pairs(_ key: String) -> [(name: String, value: String, mark: SourceMark)] {
    guard let section = section(key) else { return [] }
    return section.entries.compactMap { entry in
      section.text(entry.value, section.path(entry.key)).map { (entry.key, $0, entry.mark) }
    }
  }

  private func parsed<Value>(_ key: String, _ wanted: String, _ parse: (String) -> Value?) -> Value? {
    guard let text = text(key) else { return nil }
    if let value = parse(text) { return value }
    problems.report(node(key)?.mark ?? mark, "\(path(key)) is '\(text)'; it must be \(wanted)")
    return nil
  }

  func integer(_ key: String, _ range: ClosedRange<Int>) -> Int? {
    parsed(key, "a whole number from \(range.lowerBound) to \(range.upperBound)") { text in
      Int(text.filter { $0 != "_" }).flatMap { range.contains($0) ? $0 : nil }
    }
  }

  func bytes(_ key: String) -> Int? {
    parsed(key, "a size such as 64MiB, 512KiB or 1048576", Quantity.bytes)
  }

  func duration(_ key: String) -> Duration? {
    parsed(key, "a time such as 500ms, 20s, 5m or 1h", Quantity.duration)
  }

  func choice<Value: CaseIterable & RawRepresentable>(_ key: String, _ type: Value.Type) -> Value?
  where Value.RawValue == String {
    parsed(key, "one of \(type.allCases.map(\.rawValue).joined(separator: ", "))") { Value(rawValue: $0) }
  }

  func required<Value>(_ key: String, _ value: Value?) -> Value? {
    if value == nil, entries.first(where: { $0.key == key }).map(\.value.isNull) ?? true {
      problems.report(mark, "\(path(key)) is missing")
    }
    return value
  }

  /// Says which keys nobody has asked for, with the nearest that exists.
  func finish() {
    for entry in entries where !known.contains(entry.key) {
      let near = Nearest.match(entry.key, among: known).map { "; did you mean '\($0)'?" } ?? ""
      let all = near.isEmpty ? "; there are: \(Set(known).sorted().joined(separator: ", "))" : ""
      problems.report(entry.mark, "\(path(entry.key)) is not a key that exists\(near)\(all)")
    }
  }
}

/// Sizes and times as people write them.
enum Quantity {
  static func bytes(_ text: String) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = Int(digits) else { return nil }
    let factor: Int
    switch text[digits.endIndex...].drop(while: \.isWhitespace) {
    case "", "B": factor = 1
    case "KiB": factor = 1 << 10
    case "MiB": factor = 1 << 20
    case "GiB": factor = 1 << 30
    case "KB", "kB": factor = 1000
    case "MB": factor = 1_000_000
    case "GB": factor = 1_000_000_000
    default: return nil
    }
    let (product, overflow) = number.multipliedReportingOverflow(by: factor)
    return overflow ? nil : product
  }

  static func duration(_ text: String) -> Duration? {
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard let number = Double(digits), number.isFinite, number < 1e9 else { return nil }
    switch text[digits.endIndex...].drop(while: \.isWhitespace) {
    case "ms": return .milliseconds(number)
    case "s": return .seconds(number)
    case "m": return .seconds(number * 60)
    case "h": return .seconds(number * 3600)
    default: return nil
    }
  }
}

/// Near misses of names.
enum Nearest {
  /// The candidate with the fewest changes, where these are few for the name's length.
  static func match(_ name: String, among candidates: [String]) -> String? {
    let scored = Set(candidates).map { (distance(name, $0), $0) }.min { ($0.0, $0.1) < ($1.0, $1.1) }
    guard let scored, scored.0 <= max(1, name.count / 2) else { return nil }
    return scored.1
  }

  /// Levenshtein's.
  private static func distance(_ left: String, _ right: String) -> Int {
    let right = Array(right)
    var row = Array(0...right.count)
    for (i, a) in left.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, b) in right.enumerated() {
        let above = row[j + 1]
        row[j + 1] = min(above + 1, row[j] + 1, diagonal + (a == b ? 0 : 1))
        diagonal = above
      }
    }
    return row[right.count]
  }
}
