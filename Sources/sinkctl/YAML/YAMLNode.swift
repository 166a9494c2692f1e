/// A place in a configuration file, counted from 1 as editors do.
struct SourceMark: Equatable {
  let line: Int
  let column: Int
}

/// A node of a YAML document that knows where it stands. Scalars stay text: what they are is what the reader asks for.
struct YAMLNode {
  enum Content {
    /// `isPlain`: written without quotes, so that an empty one or `~` is null.
    case scalar(String, isPlain: Bool)
    case sequence([YAMLNode])
    case mapping([(key: String, mark: SourceMark, value: YAMLNode)])
  }

  let content: Content
  let mark: SourceMark

  var isNull: Bool {
    if case .scalar(let text, isPlain: true) = content {
      ["", "~", "null", "Null", "NULL"].contains(text)
    } else {
      false
    }
  }

  /// Where each value stands, by its path: `kafka.brokers`, `routes[1].table`. Lists count from 1.
  func marks(_ path: String = "") -> [String: SourceMark] {
    var marks = [path: mark]
    switch content {
    case .scalar: break
    case .sequence(let items):
      for (index, item) in items.enumerated() {
        marks.merge(item.marks("\(path)[\(index + 1)]")) { first, _ in first }
      }
    case .mapping(let entries):
      for entry in entries {
        let name = path.isEmpty ? entry.key : "\(path).\(entry.key)"
        marks.merge(entry.value.marks(name)) { first, _ in first }
      }
    }
    return marks
  }

  /// For messages.
  var kind: String {
    switch content {
    case .scalar: "a single value"
    case .sequence: "a list"
    case .mapping: "a section"
    }
  }
}

/// What a file says wrong, and where.
struct ConfigurationProblem: Error, Equatable, CustomStringConvertible {
  let file: String
  /// nil where it is about the file as a whole.
  let mark: SourceMark?
  let message: String

  var description: String {
    mark.map { "\(file):\($0.line):\($0.column): \(message)" } ?? "\(file): \(message)"
  }
}
