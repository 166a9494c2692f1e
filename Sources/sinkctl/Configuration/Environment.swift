internal import Glibc

/// What the executable reads from outside; the libraries read nothing.
struct Environment: Sendable {
  let variable: @Sendable (String) -> String?
  /// A whole file as text, or why not.
  let readFile: @Sendable (String) -> Result<String, FileProblem>
  /// nil where the file can be read, or why not; a certificate is read by a C library, later.
  let checkFile: @Sendable (String) -> FileProblem?
  var hostName: @Sendable () -> String = { Environment.systemHostName() }

  struct FileProblem: Error {
    let path: String
    let reason: String

    var message: String { "\(path): \(reason)" }
  }

  static let system = Environment(
    variable: { name in unsafe getenv(name).map { unsafe String(cString: $0) } },
    readFile: { path in read(path) },
    checkFile: { path in check(path) })

  private static func systemHostName() -> String {
    var name = [CChar](repeating: 0, count: 256)
    guard unsafe gethostname(&name, name.count - 1) == 0 else { return "sinkctl" }
    let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func check(_ path: String) -> FileProblem? {
    guard let file = unsafe fopen(path, "re") else { return problem(path) }
    defer { unsafe fclose(file) }
    var byte: UInt8 = 0
    // A directory opens, and refuses to be read.
    guard unsafe fread(&byte, 1, 1, file) == 1 else {
      return unsafe ferror(file) != 0 ? problem(path) : FileProblem(path: path, reason: "is empty")
    }
    return nil
  }

  private static func read(_ path: String) -> Result<String, FileProblem> {
    guard let file = unsafe fopen(path, "re") else { return .failure(problem(path)) }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count <= YAMLParser.sizeLimitBytes {
      let count = unsafe fread(&chunk, 1, chunk.count, file)
      guard count > 0 else { break }
      bytes += chunk[..<count]
    }
    guard unsafe ferror(file) == 0 else { return .failure(problem(path)) }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      return .failure(FileProblem(path: path, reason: "is not UTF-8 text"))
    }
    return .success(text)
  }

  private static func problem(_ path: String) -> FileProblem {
    FileProblem(path: path, reason: unsafe String(cString: strerror(errno)))
  }
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for `${`. In values only, after parsing, so that what a variable
/// holds never becomes a key, a section or another variable.
struct VariableExpansion {
  /// Defaults may hold variables with defaults, so deep and no deeper.
  private static let depthLimit = 8

  let variable: (String) -> String?

  struct Problem: Error {
    let message: String
  }

  func expand(_ text: String) throws(Problem) -> String { try expand(text[...], depth: 0) }

  private func expand(_ text: Substring, depth: Int) throws(Problem) -> String {
    guard depth <= Self.depthLimit else {
      throw Problem(message: "variables are nested deeper than \(Self.depthLimit) levels")
    }
    var result = ""
    var rest = text
    while let start = rest.firstRange(of: "${") {
      if rest[..<start.lowerBound].hasSuffix("$") {
        result += rest[..<start.lowerBound].dropLast() + "${"
        rest = rest[start.upperBound...]
        continue
      }
      result += rest[..<start.lowerBound]
      guard let end = Self.end(of: rest[start.upperBound...]) else {
        throw Problem(message: "'${' without its '}'; write $${ for the characters themselves")
      }
      result += try value(of: rest[start.upperBound..<end], depth: depth)
      rest = rest[rest.index(after: end)...]
    }
    return result + rest
  }

  /// The brace that ends a variable whose beginning is already read: not that of a variable in its default.
  private static func end(of text: Substring) -> Substring.Index? {
    var open = 1
    var index = text.startIndex
    while index < text.endIndex {
      if text[index...].hasPrefix("$${") {
        index = text.index(index, offsetBy: 3)
        continue
      }
      if text[index...].hasPrefix("${") { open += 1 }
      if text[index] == "}" {
        open -= 1
        if open == 0 { return index }
      }
      index = text.index(after: index)
    }
    return nil
  }

  private func value(of inside: Substring, depth: Int) throws(Problem) -> String {
    let parts = inside.firstRange(of: ":-").map { (inside[..<$0.lowerBound], inside[$0.upperBound...]) }
    let name = String(parts?.0 ?? inside)
    guard let first = name.utf8.first, !(0x30...0x39).contains(first),
      name.utf8.allSatisfy({ $0 == 0x5F || $0 < 0x80 && Character(Unicode.Scalar($0)).isLetterOrDigit })
    else {
      throw Problem(message: "'${\(name)}' names no variable: letters, digits and _ make a name")
    }
    if let value = variable(name), !(value.isEmpty && parts != nil) { return value }
    if let parts { return try expand(parts.1, depth: depth + 1) }
    throw Problem(message: "the environment has no variable \(name); set it, or give a default: ${\(name):-…}")
  }
}

extension Character {
  fileprivate var isLetterOrDigit: Bool { isLetter || isNumber }
}
