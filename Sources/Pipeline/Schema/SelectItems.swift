/// The columns that a view's SELECT makes, as far as placement needs them.
enum SelectItems {
  /// A moving function of the SELECT that may settle to which table partition its rows go; nil where all that move make
  /// columns which the key does not name.
  static func movingFunction(in select: String, reaching partitionKey: String) -> String? {
    guard let function = MovingFunction.first(in: select) else { return nil }
    guard let (items, rest) = split(select) else { return function }
    if let function = MovingFunction.first(in: rest) { return function }
    for item in items {
      guard let function = MovingFunction.first(in: item) else { continue }
      guard let name = alias(of: item), !MovingFunction.mentions(name, in: partitionKey) else { return function }
    }
    return nil
  }

  /// - Returns: nil of what begins with anything but `SELECT`, or has no `FROM`.
  private static func split(_ select: String) -> (items: [String], rest: String)? {
    let words = pieces(of: select)
    guard words.first?.uppercased() == "SELECT", let from = words.firstIndex(where: { $0.uppercased() == "FROM" })
    else {
      return nil
    }
    var items = [""]
    for word in words[1..<from] {
      if word.hasSuffix(",") {
        items[items.count - 1] += " " + word.dropLast()
        items.append("")
      } else {
        items[items.count - 1] += " " + word
      }
    }
    return (items, words[from...].joined(separator: " "))
  }

  /// Words, with all that stands in brackets or quotes as part of one.
  private static func pieces(of text: String) -> [String] {
    var words = [""]
    var depth = 0
    var quote: Character?
    for character in text {
      if let open = quote {
        if character == open { quote = nil }
      } else if character == "'" || character == "`" || character == "\"" {
        quote = character
      } else if character == "(" || character == "[" {
        depth += 1
      } else if character == ")" || character == "]" {
        depth -= 1
      } else if depth == 0, character.isWhitespace {
        words.append("")
        continue
      }
      words[words.count - 1].append(character)
    }
    return words.filter { !$0.isEmpty }
  }

  private static func alias(of item: String) -> String? {
    let words = pieces(of: item)
    guard words.count >= 3, words[words.count - 2].uppercased() == "AS" else { return nil }
    return words[words.count - 1].trimmingQuotes
  }
}

extension String {
  fileprivate var trimmingQuotes: String {
    guard count > 2, first == "`" || first == "\"", last == first else { return self }
    return String(dropFirst().dropLast())
  }
}
