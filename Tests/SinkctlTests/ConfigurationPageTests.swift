import Foundation
import TestServers
import Testing

@testable import sinkctl

/// docs/CONFIGURATION.md and the examples against the reader itself.
@Suite struct ConfigurationPageTests {
  /// Everything that may be read of an environment is there.
  static let environment = Environment(
    variable: { _ in "value" }, readFile: { _ in .success("secret\n") }, checkFile: { _ in nil })

  /// The rows of the page's tables of keys: each key, and its default as the page writes it.
  static func documented() throws -> [(key: String, value: String)] {
    let page = TestMachine.root.appending(path: "docs/CONFIGURATION.md")
    return try String(contentsOf: page, encoding: .utf8).split(separator: "\n").flatMap { line -> [(String, String)] in
      let cells = line.split(separator: "|", omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      guard cells.count == 5, cells[1].hasPrefix("`"), cells[1].contains(".") else { return [] }
      return cells[1].split(separator: ", ").map { (String($0.dropFirst().dropLast()), cells[2]) }
    }
  }

  /// One value for each path, as a YAML file in which every section stands.
  static func file(_ values: [String: String]) -> String {
    func node(_ prefix: String) -> String {
      let below = values.filter { $0.key.hasPrefix(prefix + ".") || prefix.isEmpty }
      let names = Set(below.keys.map { $0.dropFirst(prefix.isEmpty ? 0 : prefix.count + 1).prefix { $0 != "." } })
      guard !names.isEmpty else { return values[prefix] ?? "~" }
      let fields = names.sorted().map { name in
        let path = (prefix.isEmpty ? "" : prefix + ".") + name
        return path == "routes[]" ? "routes: [\(node(path))]" : "\(name): \(node(path))"
      }
      return prefix.isEmpty ? fields.joined(separator: "\n") + "\n" : "{" + fields.joined(separator: ", ") + "}"
    }
    return node("")
  }

  static let base = [
    "kafka.brokers": "[a:9092]", "kafka.group": "g", "clickhouse.url": "\"http://x:8123\"", "routes[].topic": "t",
    "routes[].table": "t",
  ]

  @Test func everyKeyIsDocumentedAndEveryDocumentedKeyIsRead() throws {
    var values = Self.base
    for section in [
      "kafka.security", "clickhouse.tls", "routes[].dead_letters", "routes[].block", "limits", "admin", "log",
    ] {
      // A key that there is none of, so that the section stands and nothing of it is said.
      values["\(section).none_such"] = "1"
    }
    let list = ProblemList(file: "t.yaml")
    _ = ConfigurationReader(environment: Self.environment).read(Self.file(values), list)
    let sections: Set = [
      "kafka", "clickhouse", "routes", "limits", "admin", "log", "kafka.security", "clickhouse.tls", "routes[].block",
    ]
    let read = Set(list.keys.map { $0.replacing("routes[1]", with: "routes[]") }).subtracting(sections)
    let documented = Set(try Self.documented().map(\.key))
    #expect(read.subtracting(documented).sorted() == [], "read and not documented")
    #expect(documented.subtracting(read).sorted() == [], "documented and not read")
    #expect(read.count > 40)
  }

  @Test func everyDocumentedDefaultIsTheRealOne() throws {
    func configuration(_ values: [String: String]) throws -> String {
      var configuration = try ConfigurationReader(environment: Self.environment)
        .read(Self.file(values), file: "t.yaml").get()
      configuration.marks = [:]
      return String(describing: configuration)
    }
    let base = try configuration(Self.base)
    var count = 0
    for (key, value) in try Self.documented() where value.hasPrefix("`") {
      let text = String(value.dropFirst().prefix { $0 != "`" })
      let same = try configuration(Self.base.merging([key: "\"\(text)\""]) { $1 })
      #expect(same == base, "\(key) is not \(text) by default")
      count += 1
    }
    #expect(count >= 18, "\(count) defaults: the page is not read as it was meant to be")
    // What a default is compared by does tell values apart.
    #expect(try configuration(Self.base.merging(["limits.drain": "21s"]) { $1 }) != base)
  }

  @Test func examplesAreReadAsTheyStand() throws {
    let directory = TestMachine.root.appending(path: "examples")
    let files = try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
      .filter { $0.pathExtension == "yaml" }
    #expect(files.count >= 3)
    for file in files {
      let text = try String(contentsOf: file, encoding: .utf8)
      guard case .failure(let found) = ConfigurationReader(environment: Self.environment).read(text, file: file.path)
      else { continue }
      Issue.record("\(found.problems.map(\.description))")
    }
  }

  /// The design's own example; what a later version brings is refused in words.
  @Test func theDesignsExampleIsRead() throws {
    let text = """
      kafka:
        brokers: [b-1.events.msk.example:9094, b-2.events.msk.example:9094]
        group: events-sink
        instance_id: ${HOSTNAME}
        start: earliest
        security: {protocol: tls, ca_file: /etc/sinkctl/ca.pem}
        properties: {fetch.wait.max.ms: 50}
      clickhouse:
        url: https://abc123.eu-central-1.aws.clickhouse.cloud:8443
        database: analytics
        user: sink
        password: ${CLICKHOUSE_PASSWORD}
        tls: {ca_file: /ca, server_name: x.example, certificate_file: /c, key_file: /k}
        compression: lz4
        settings: {insert_quorum: auto}
      routes:
        - topic: events
          table: events
          format: json
          delivery: at_least_once
          columns: {user: user.id}
          unknown_fields: ignore
          dead_letters: {topic: events.dead}
          block: {max_rows: 200000, max_bytes: 64MiB, linger: 1s}
      limits: {memory: 96MiB, inserts_in_flight: 4, drain: 20s}
      admin: {listen: 127.0.0.1:9790}
      log: {level: info, format: text}
      """
    _ = try ConfigurationReader(environment: Self.environment).read(text, file: "t.yaml").get()
  }
}
