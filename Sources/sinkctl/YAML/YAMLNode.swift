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
    if case .scalar(let text, isPlain: true) = content { text.isEmpty || text == "~" || text == "null" } else { false }
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
