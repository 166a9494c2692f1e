internal import ClickHouseClient
internal import KafkaClient
internal import SinkBytes

enum VersionCommand {
  static let version = "0.1.0"

  static let command = Command(
    name: "version", summary: "Prints the versions of sinkctl and of the libraries that it runs with.",
    discussion: "The libraries are the ones loaded now, not the ones that it was built with.",
    options: [.init("json", nil, "As one JSON object.")]
  ) { arguments in
    let versions = [
      ("sinkctl", version), ("librdkafka", KafkaLibrary.version), ("libcurl", ClickHouseClient.libcurlVersion),
    ]
    if arguments.has("json") {
      var json = JSONText()
      json.object { json in
        for (name, version) in versions { json.field(name, version) }
      }
      Terminal.out(json.text)
    } else {
      for (name, version) in versions { Terminal.out("\(name) \(version)") }
    }
    return .done
  }
}
