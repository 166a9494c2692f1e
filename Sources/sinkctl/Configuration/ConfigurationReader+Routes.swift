internal import Pipeline

/// Routes: the part of a file that people change most.
extension ConfigurationReader {
  func readRoutes(_ top: SectionReader) -> [RouteConfiguration] {
    guard let node = top.required("routes", top.node("routes")), !node.isNull else { return [] }
    guard case .sequence(let items) = node.content, !items.isEmpty else {
      top.problems.report(node.mark, "routes must be a list of routes, each with a topic and a table")
      return []
    }
    var routes: [RouteConfiguration] = []
    for (index, item) in items.enumerated() {
      let section = SectionReader(
        item, name: "routes[\(index + 1)]", problems: top.problems, environment: environment)
      if let section, let route = readRoute(section) { routes.append(route) }
    }
    return routes
  }

  private func readRoute(_ section: SectionReader) -> RouteConfiguration? {
    defer { section.finish() }
    let topics = readTopics(section)
    let table = section.requiredText("table")
    var mapping = MappingConfiguration()
    mapping.format = section.choice("format", RecordFormat.self) ?? .json
    mapping.unknownFields = section.choice("unknown_fields", UnknownFieldsPolicy.self) ?? .ignore
    if let columns = section.section("columns") {
      mapping.columns = columns.allEntries.map { entry in
        MappingConfiguration.Column(
          entry.key, path: entry.value.isNull ? nil : columns.text(entry.value, columns.path(entry.key)))
      }
    }
    var route = RouteConfiguration(topics: topics ?? [], table: table ?? "", mapping: mapping)
    route.delivery = section.choice("delivery", DeliveryGuarantee.self)
    route.deduplication = section.choice("deduplication", DeduplicationMode.self) ?? .token
    route.transforms = section.list("transforms") ?? []
    if !route.transforms.isEmpty {
      section.problems.report(
        section.mark(of: "transforms"),
        "\(section.path("transforms")): transforms are written in Swift by a program that embeds Pipeline; "
          + "this one has none")
    }
    if let policy = readDeadLetters(section) { route.deadLetters = policy }
    if let block = section.section("block") {
      if let rows = block.integer("max_rows", 1...10_000_000) { route.block.maxRows = rows }
      if let bytes = block.bytes("max_bytes", (64 << 10)...(1 << 30)) { route.block.maxBytes = bytes }
      if let linger = block.duration("linger", .milliseconds(1)...(.seconds(3600))) { route.block.linger = linger }
      block.finish()
    }
    return topics == nil || table == nil ? nil : route
  }

  private func readTopics(_ section: SectionReader) -> [String]? {
    let one = section.text("topic")
    let many = section.list("topics")
    let pattern = section.text("topic_pattern")
    if let pattern, !pattern.hasPrefix("^") {
      section.reject("topic_pattern", "a pattern is a regular expression that begins with ^")
      return nil
    }
    if let name = ([one].compactMap { $0 } + (many ?? [])).first(where: { !Self.isTopicName($0) }) {
      section.problems.report(
        section.valueMark(of: one == name ? "topic" : "topics"),
        "\(section.name) names a topic that cannot be: 1 to 249 letters, digits, '.', '_' and '-' make a name; "
          + "a pattern goes to topic_pattern")
      return nil
    }
    let given = [one.map { [$0] }, many, pattern.map { [$0] }].compactMap { $0 }
    if given.count != 1 {
      section.problems.report(
        section.mark, "\(section.name) needs one of topic, topics and topic_pattern, and has \(given.count) of them")
      return nil
    }
    return given[0]
  }

  private static func isTopicName(_ name: String) -> Bool {
    (1...249).contains(name.utf8.count) && name != "." && name != ".."
      && name.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2E, 0x5F, 0x2D: true
        default: false
        }
      }
  }

  private func readDeadLetters(_ section: SectionReader) -> DeadLetterPolicy? {
    guard let node = section.node("dead_letters"), !node.isNull else { return nil }
    let name = section.path("dead_letters")
    if case .scalar = node.content {
      switch section.text(node, name) {
      case "stop": return .stop
      case "skip": return .skip
      default:
        section.problems.report(node.mark, "\(name) must be stop, skip, {topic: …} or {table: …}")
        return nil
      }
    }
    guard
      let inner = SectionReader(node, name: name, problems: section.problems, environment: environment)
    else { return nil }
    defer { inner.finish() }
    switch (inner.text("topic"), inner.text("table")) {
    case (let topic?, nil):
      guard Self.isTopicName(topic) else {
        inner.reject("topic", "1 to 249 letters, digits, '.', '_' and '-' make a topic's name")
        return nil
      }
      return .topic(topic)
    case (nil, let table?): return .table(table)
    default:
      section.problems.report(node.mark, "\(name) needs either topic or table")
      return nil
    }
  }
}
