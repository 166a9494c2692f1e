internal import SinkTelemetry
internal import SinkThreads

/// Gathers every problem of a file, instead of ending at the first.
final class ProblemList {
  private(set) var problems: [ConfigurationProblem] = []
  /// Every key that a reader has asked for, by its path: what the file may hold. The documentation's test reads it.
  private(set) var keys: Set<String> = []
  let file: String

  init(file: String) { self.file = file }

  func report(_ mark: SourceMark?, _ message: String) {
    problems.append(ConfigurationProblem(file: file, mark: mark, message: message))
  }

  func take(keys: [String]) { self.keys.formUnion(keys) }

  /// In the order of the file; what is about the file as a whole comes last.
  var inOrder: [ConfigurationProblem] {
    problems.enumerated().sorted { left, right in
      let (a, b) = (left.element.mark, right.element.mark)
      return (a?.line ?? .max, a?.column ?? .max, left.offset) < (b?.line ?? .max, b?.column ?? .max, right.offset)
    }.map(\.element)
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

  func has(_ key: String) -> Bool { entries.contains { $0.key == key && !$0.value.isNull } }

  func valueMark(of key: String) -> SourceMark { entries.first { $0.key == key }?.value.mark ?? mark }

  /// A value as it stands in the file. Messages show it so: what a variable holds may be a secret under a wrong key.
  func written(_ key: String) -> String {
    guard case .scalar(let raw, _)? = entries.first(where: { $0.key == key })?.value.content else { return "" }
    return raw
  }

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
    do throws(VariableExpansion.Problem) {
      let text = try VariableExpansion(variable: environment.variable).expand(raw)
      // C libraries would end it there.
      guard !text.unicodeScalars.contains("\0") else {
        problems.report(node.mark, "\(name) holds a NUL character")
        return nil
      }
      return text
    } catch {
      problems.report(node.mark, "\(name): \(error.message)")
      return nil
    }
  }

  /// A secret from `key`, or from the file that `key_file` names; line breaks at its end are not part of it.
  func secret(_ key: String) -> Secret? {
    let direct = text(key)
    guard let path = text(key + "_file") else { return direct.map { Secret($0) } }
    let name = self.path(key) + "_file"
    if direct != nil { problems.report(mark(of: key), "\(self.path(key)) and \(name) are both set; keep one") }
    switch environment.readFile(path) {
    case .success(let text):
      let secret = text.reversed().drop { $0.isNewline }.reversed()
      if secret.isEmpty || secret.contains("\0") {
        problems.report(valueMark(of: key + "_file"), "\(name): \(path): is empty, or no text")
      }
      return Secret(String(secret))
    case .failure(let problem):
      problems.report(valueMark(of: key + "_file"), "\(name): \(problem.message)")
      return nil
    }
  }

  /// The name of a file that a C library will read; that it can be read is found out now.
  func file(_ key: String) -> String? {
    guard let path = text(key) else { return nil }
    if let problem = environment.checkFile(path) {
      problems.report(valueMark(of: key), "\(self.path(key)): \(problem.message)")
    }
    return path
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

  func parsed<Value>(_ key: String, _ wanted: String, _ parse: (String) -> Value?) -> Value? {
    guard let text = text(key) else { return nil }
    if let value = parse(text) { return value }
    reject(key, "it must be \(wanted)")
    return nil
  }

  /// Reports a value that is not what the key wants.
  func reject(_ key: String, _ why: String) {
    problems.report(valueMark(of: key), "\(path(key)) is '\(written(key))'; \(why)")
  }

  func integer(_ key: String, _ range: ClosedRange<Int>) -> Int? {
    parsed(key, "a whole number from \(range.lowerBound) to \(range.upperBound)") { text in
      Int(text.filter { $0 != "_" }).flatMap { range.contains($0) ? $0 : nil }
    }
  }

  func bytes(_ key: String, _ range: ClosedRange<Int>) -> Int? {
    let bounds = "\(Quantity.text(bytes: range.lowerBound)) to \(Quantity.text(bytes: range.upperBound))"
    return parsed(key, "a size from \(bounds), written as 64MiB, 512KiB or 1048576") { text in
      Quantity.bytes(text).flatMap { range.contains($0) ? $0 : nil }
    }
  }

  func duration(_ key: String, _ range: ClosedRange<Duration>) -> Duration? {
    let bounds = "\(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound))"
    return parsed(key, "a time from \(bounds), written as 500ms, 20s, 5m or 1h") { text in
      Quantity.duration(text).flatMap { range.contains($0) ? $0 : nil }
    }
  }

  /// - Parameter notYet: names that the design has and this version has not, with what to do instead.
  func choice<Value: CaseIterable & RawRepresentable>(
    _ key: String, _ type: Value.Type, notYet: [String: String] = [:]
  ) -> Value? where Value.RawValue == String {
    if let text = text(key), Value(rawValue: text) == nil, let instead = notYet[text] {
      reject(key, "this version cannot do that yet: \(instead)")
      return nil
    }
    return parsed(key, "one of \(type.allCases.map(\.rawValue).joined(separator: ", "))") { Value(rawValue: $0) }
  }

  func required<Value>(_ key: String, _ value: Value?) -> Value? {
    if value == nil, entries.first(where: { $0.key == key }).map(\.value.isNull) ?? true {
      problems.report(mark, "\(path(key)) is missing")
    }
    return value
  }

  /// As `required`, of a text that says something.
  func requiredText(_ key: String) -> String? {
    guard let text = required(key, text(key)) else { return nil }
    guard text.isEmpty else { return text }
    problems.report(valueMark(of: key), "\(path(key)) is empty")
    return nil
  }

  /// Says which keys nobody has asked for, with the nearest that exists.
  func finish() {
    problems.take(keys: known.map(path))
    for entry in entries where !known.contains(entry.key) {
      guard entry.key != "<<" else {
        problems.report(entry.mark, "merges (<<) are not read here: write the keys out")
        continue
      }
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

  /// In the largest unit that says it in whole numbers.
  static func text(bytes: Int) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] where bytes >= 1 << shift && bytes % (1 << shift) == 0
    {
      return "\(bytes >> shift)\(unit)"
    }
    return "\(bytes)"
  }

  static func text(_ duration: Duration) -> String {
    let milliseconds = duration.milliseconds
    for (unit, factor) in [("h", Int32(3_600_000)), ("m", 60_000), ("s", 1000)]
    where milliseconds >= factor && milliseconds % factor == 0 {
      return "\(milliseconds / factor)\(unit)"
    }
    return "\(milliseconds)ms"
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
