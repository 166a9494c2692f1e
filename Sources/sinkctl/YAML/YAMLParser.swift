internal import CSinkYAML
internal import SinkBytes

/// Turns libyaml's events into a strict tree: one document, no duplicate keys, no anchors, bounded in depth and size.
@safe struct YAMLParser: ~Copyable {
  static let depthLimit = 32
  static let sizeLimitBytes = 4 << 20

  private let file: String
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let text: ByteBuffer

  private init(file: String, text: consuming ByteBuffer) {
    self.file = file
    self.text = text
    unsafe parser = .allocate(capacity: 1)
    unsafe parser.initialize(to: yaml_parser_t())
    let status = unsafe yaml_parser_initialize(parser)
    precondition(status == 1, "libyaml has no memory")
    unsafe self.text.withUnsafeBytes { bytes in
      unsafe yaml_parser_set_input_string(parser, bytes.assumingMemoryBound(to: UInt8.self).baseAddress, bytes.count)
    }
  }

  deinit {
    unsafe yaml_parser_delete(parser)
    unsafe parser.deallocate()
  }

  /// - Parameter file: its name, for messages.
  static func parse(_ text: String, file: String) throws(ConfigurationProblem) -> YAMLNode {
    guard text.utf8.count <= sizeLimitBytes else {
      throw ConfigurationProblem(
        file: file, mark: nil, message: "is larger than \(sizeLimitBytes >> 20) MiB: that is no configuration")
    }
    var buffer = ByteBuffer(capacity: text.utf8.count)
    buffer.append(utf8: text)
    let parser = YAMLParser(file: file, text: buffer)
    return try parser.document()
  }

  private enum Event {
    case scalar(String, isPlain: Bool)
    case sequenceStart, sequenceEnd, mappingStart, mappingEnd
    case documentStart, documentEnd, streamStart, streamEnd
    case other
  }

  private func document() throws(ConfigurationProblem) -> YAMLNode {
    _ = try next()
    guard case (.documentStart, let mark) = try next() else {
      throw ConfigurationProblem(file: file, mark: nil, message: "is empty; see docs/CONFIGURATION.md for an example")
    }
    _ = mark
    let root = try node(try next(), depth: 0)
    _ = try next()
    let (event, mark2) = try next()
    guard case .streamEnd = event else { throw problem(mark2, "a second document; one file is one configuration") }
    return root
  }

  private func node(_ event: (Event, SourceMark), depth: Int) throws(ConfigurationProblem) -> YAMLNode {
    guard depth < Self.depthLimit else { throw problem(event.1, "nested deeper than \(Self.depthLimit) levels") }
    switch event.0 {
    case .scalar(let text, let isPlain): return YAMLNode(content: .scalar(text, isPlain: isPlain), mark: event.1)
    case .sequenceStart:
      var items: [YAMLNode] = []
      while true {
        let item = try next()
        if case .sequenceEnd = item.0 { break }
        items.append(try node(item, depth: depth + 1))
      }
      return YAMLNode(content: .sequence(items), mark: event.1)
    case .mappingStart: return try mapping(event.1, depth: depth)
    default: throw problem(event.1, "anchors and aliases (& and *) are not read here: write the value out")
    }
  }

  private func mapping(_ mark: SourceMark, depth: Int) throws(ConfigurationProblem) -> YAMLNode {
    var entries: [(key: String, mark: SourceMark, value: YAMLNode)] = []
    while true {
      let (event, place) = try next()
      if case .mappingEnd = event { break }
      guard case .scalar(let key, _) = event else { throw problem(place, "a key must be a single value") }
      if let first = entries.first(where: { $0.key == key }) {
        throw problem(place, "'\(key)' stands twice in one section; the first is in line \(first.mark.line)")
      }
      entries.append((key, place, try node(try next(), depth: depth + 1)))
    }
    return YAMLNode(content: .mapping(entries), mark: mark)
  }

  private func next() throws(ConfigurationProblem) -> (Event, SourceMark) {
    var event = unsafe yaml_event_t()
    guard unsafe yaml_parser_parse(parser, &event) == 1 else {
      let words = unsafe parser.pointee.problem.map { unsafe String(cString: $0) } ?? "unreadable"
      let mark = unsafe parser.pointee.problem_mark
      throw problem(
        SourceMark(line: mark.line + 1, column: mark.column + 1), "is not YAML: \(words)\(Self.hint(words))")
    }
    defer { unsafe yaml_event_delete(&event) }
    let start = unsafe event.start_mark
    return unsafe (Self.read(event), SourceMark(line: start.line + 1, column: start.column + 1))
  }

  /// What is behind the mistakes that people make most.
  private static func hint(_ words: String) -> String {
    if words.contains("start any token") { return "; YAML is indented with spaces, never with tabs" }
    if words.contains("expected ',' or") { return "; within [ ] and { } a value with ${NAME} stands in quotes" }
    return ""
  }

  private static func read(_ event: yaml_event_t) -> Event {
    switch unsafe event.type {
    case YAML_SCALAR_EVENT:
      let scalar = unsafe event.data.scalar
      if unsafe scalar.anchor != nil { return .other }
      let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      return unsafe .scalar(
        String(decoding: bytes, as: UTF8.self), isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE)
    case YAML_SEQUENCE_START_EVENT: return unsafe event.data.sequence_start.anchor == nil ? .sequenceStart : .other
    case YAML_MAPPING_START_EVENT: return unsafe event.data.mapping_start.anchor == nil ? .mappingStart : .other
    case YAML_SEQUENCE_END_EVENT: return .sequenceEnd
    case YAML_MAPPING_END_EVENT: return .mappingEnd
    case YAML_DOCUMENT_START_EVENT: return .documentStart
    case YAML_DOCUMENT_END_EVENT: return .documentEnd
    case YAML_STREAM_START_EVENT: return .streamStart
    case YAML_STREAM_END_EVENT: return .streamEnd
    default: return .other
    }
  }

  private func problem(_ mark: SourceMark, _ message: String) -> ConfigurationProblem {
    ConfigurationProblem(file: file, mark: mark, message: message)
  }
}
