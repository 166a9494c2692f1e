/// Writes JSON, for machines that read what we print.
struct JSONText {
  /// A line for each field of the outermost object and each element of its arrays, so that people can read it too.
  private let isSpread: Bool
  private(set) var text = ""
  private var needsComma = false
  private var depth = 0

  init(isSpread: Bool = false) { self.isSpread = isSpread }

  mutating func object(_ body: (inout JSONText) -> Void) { enclose("{", "}", body) }

  mutating func field(_ name: String, _ value: String?) {
    key(name)
    if let value { text += Self.quoted(value) } else { text += "null" }
  }

  mutating func field(_ name: String, _ value: Int?) {
    key(name)
    text += value.map { String($0) } ?? "null"
  }

  mutating func field(_ name: String, _ value: Bool) {
    key(name)
    text += value ? "true" : "false"
  }

  mutating func field(_ name: String, _ body: (inout JSONText) -> Void) {
    key(name)
    enclose("[", "]", isNamed: true, body)
  }

  mutating func element(_ body: (inout JSONText) -> Void) { enclose("{", "}", body) }

  mutating func element(_ value: String) {
    separate()
    needsComma = true
    text += Self.quoted(value)
  }

  private mutating func key(_ name: String) {
    separate()
    needsComma = true
    text += Self.quoted(name) + (isSpread ? ": " : ":")
  }

  private mutating func enclose(
    _ open: String, _ close: String, isNamed: Bool = false, _ body: (inout JSONText) -> Void
  ) {
    if !isNamed { separate() }
    text += open
    needsComma = false
    depth += 1
    body(&self)
    depth -= 1
    if depth < 2, needsComma { breakLine() }
    text += close
    needsComma = true
  }

  private mutating func separate() {
    if needsComma { text += "," }
    if depth > 0, depth < 3 { breakLine() } else if isSpread, needsComma { text += " " }
  }

  private mutating func breakLine() {
    guard isSpread else { return }
    text += "\n" + String(repeating: "  ", count: depth)
  }

  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where isControl(scalar):
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// What no line that we print may hold as it is: C0, DEL, C1, and Unicode's own line breaks.
  static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x2028...0x2029).contains(scalar.value)
  }
}
