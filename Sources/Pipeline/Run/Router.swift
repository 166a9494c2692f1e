/// Which route takes a topic: the first that names it, else the first whose pattern matches.
struct Router {
  let routes: [RouteState]
  /// Every table that blocks go to, by `InsertTarget.index`.
  let tables: [TableState]
  private let patterns: [(pattern: TopicPattern, route: RouteState)]
  private let names: [String: RouteState]

  init(routes: [RouteState], tables: [TableState]) throws(PipelineError) {
    self.routes = routes
    self.tables = tables
    var patterns: [(pattern: TopicPattern, route: RouteState)] = []
    var names: [String: RouteState] = [:]
    for route in routes {
      for topic in route.configuration.topics {
        if topic.hasPrefix("^") {
          patterns.append((try TopicPattern(topic), route))
        } else if names.updateValue(route, forKey: topic) != nil {
          throw PipelineError(.configuration, "topic '\(topic)' stands in more than one route")
        }
      }
    }
    self.patterns = patterns
    self.names = names
  }

  func route(forTopic topic: String) -> RouteState? {
    names[topic] ?? patterns.first { $0.pattern.matches(topic) }?.route
  }
}
