internal import Glibc

/// What the executable reads from outside; the libraries read nothing.
struct Environment: Sendable {
  let variable: @Sendable (String) -> String?
  /// A whole file as text, or why not.
  let readFile: @Sendable (String) -> Result<String, FileProblem>

  struct FileProblem: Error {
    let message: String
  }

  static let system = Environment(
    variable: { name in unsafe getenv(name).map { unsafe String(cString: $0) } },
    readFile: { path in read(path) })

  private static func read(_ path: String) -> Result<String, FileProblem> {
    guard let file = unsafe fopen(path, "re") else {
      return .failure(FileProblem(message: unsafe "\(path): \(String(cString: strerror(errno)))"))
    }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count <= YAMLParser.sizeLimitBytes {
      let count = unsafe fread(&chunk, 1, chunk.count, file)
      guard count > 0 else { break }
      bytes += chunk[..<count]
    }
    guard unsafe ferror(file) == 0 else { return .failure(FileProblem(message: "\(path): cannot be read")) }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      return .failure(FileProblem(message: "\(path): is not UTF-8 text"))
    }
    return .success(text)
  }

  /// Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for `${`. In values only, after parsing, so that what a
  /// variable holds never becomes a key or a section.
  func expand(_ text: String) -> Result<String, FileProblem> {
    guard text.contains("${") else { return .success(text) }
    var result = ""
    var rest = text[...]
    while let start = rest.firstRange(of: "${") {
      if rest[..<start.lowerBound].hasSuffix("$") {
        result += rest[..<start.lowerBound].dropLast() + "${"
        rest = rest[start.upperBound...]
        continue
      }
      result += rest[..<start.lowerBound]
      guard let end = rest[start.upperBound...].firstIndex(of: "}") else {
        return .failure(FileProblem(message: "'${' without its '}'; write $${ for the characters themselves"))
      }
      let inside = rest[start.upperBound..<end]
      let parts = inside.firstRange(of: ":-").map { (inside[..<$0.lowerBound], inside[$0.upperBound...]) }
      let name = String(parts?.0 ?? inside)
      if let value = variable(name), !(value.isEmpty && parts != nil) {
        result += value
      } else if let parts {
        result += parts.1
      } else {
        return .failure(
          FileProblem(message: "the environment has no variable \(name); set it, or give a default: ${\(name):-…}"))
      }
      rest = rest[rest.index(after: end)...]
    }
    return .success(result + rest)
  }
}
