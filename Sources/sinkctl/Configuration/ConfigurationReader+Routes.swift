internal import Pipeline

/// Routes: the part of a file that people change most.
extension ConfigurationReader {
  func readRoutes(_ top: SectionReader) -> ([RouteConfiguration], [SourceMark]) {
    guard let node = top.node("routes"), !node.isNull else {
      top.problems.report(top.mark, "routes is missing")
      return ([], [])
    }
    guard case .sequence(let items) = node.content else {
      top.problems.report(node.mark, "routes must be a list of routes, each with a topic and a table")
      return ([], [])
    }
    var routes: [RouteConfiguration] = []
    for (index, item) in items.enumerated() {
      let section = SectionReader(
        item, name: "routes[\(index + 1)]", problems: top.problems, environment: environment)
      if let section, let route = readRoute(section) { routes.append(route) }
    }
    return (routes, items.map(\.mark))
  }

  private func readRoute(_ section: SectionReader) -> RouteConfiguration? {
    defer { section.finish() }
    let topics = readTopics(section)
    let table = section.required("table", section.text("table"))
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
    route.delivery = section.choice("delivery", DeliveryGuarantee.self) ?? .atLeastOnce
    route.transforms = section.list("transforms") ?? []
    if let policy = readDeadLetters(section) { route.deadLetters = policy }
    if let block = section.section("block") {
      if let rows = block.integer("max_rows", 1...10_000_000) { route.block.maxRows = rows }
      if let bytes = block.bytes("max_bytes") { route.block.maxBytes = bytes }
      if let linger = block.duration("linger") { route.block.linger = linger }
      block.finish()
    }
    return topics == nil || table == nil ? nil : route
  }

  private func readTopics(_ section: SectionReader) -> [String]? {
    let one = section.text("topic")
    let many = section.list("topics")
    let pattern = section.text("topic_pattern")
    if let pattern, !pattern.hasPrefix("^") {
      section.problems.report(
        section.mark(of: "topic_pattern"),
        "\(section.path("topic_pattern")) is '\(pattern)'; a pattern is a regular expression that begins with ^")
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
    case (let topic?, nil): return .topic(topic)
    case (nil, let table?): return .table(table)
    default:
      section.problems.report(node.mark, "\(name) needs either topic or table")
      return nil
    }
  }
}
