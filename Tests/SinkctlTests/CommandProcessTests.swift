import Foundation
import KafkaClient
import KafkaTestKit
import TestServers
import Testing

@testable import sinkctl

/// The built program without servers: what it says and how it exits.
@Suite struct CommandProcessTests {
  @Test func everyCommandTeachesItself() async throws {
    for command in CommandTable.all {
      let result = try await SinkctlProcess.run([command.name, "--help"])
      #expect(result.code == 0 && result.error.isEmpty, "\(command.name): \(result.error)")
      #expect(result.out.contains("usage: sinkctl \(command.name)"))
      #expect(try await SinkctlProcess.run(["help", command.name]).out == result.out)
    }
    let overview = try await SinkctlProcess.run(["--help"])
    #expect(overview.code == 0)
    for code in ExitCode.allCases { #expect(overview.out.contains("  \(code.rawValue) "), "exit code \(code)") }
  }

  @Test(arguments: [
    ([], "usage: sinkctl COMMAND"), (["chekc"], "no command 'chekc'; did you mean 'check'?"),
    (["xyzzyxyzzy"], "no command 'xyzzyxyzzy'. 'sinkctl --help' lists them"),
    (["check", "--confg", "x"], "check has no option --confg; did you mean --config?"),
    (["check"], "check needs --config FILE"), (["check", "--config"], "--config needs its FILE"),
    (["check", "--config", "x", "--json=1"], "--json takes no value"), (["run", "-c", "x"], "'-c' is not an option"),
    (["run", "--config", "x", "y"], "run takes no 'y'"), (["completions"], "bash, zsh or fish"),
    (["completions", "tcsh"], "bash, zsh or fish"),
    (["produce", "--topic", "t"], "either --brokers or --config"),
    (["produce", "--topic", "t", "--brokers", "x:1", "--header", "a"], "--header 'a' must be NAME=VALUE"),
    (["produce", "--topic", "t", "--brokers", "x:1", "/nowhere"], "/nowhere: No such file or directory"),
    (["produce", "--topic", "t", "--brokers", "x:1", "/tmp"], "/tmp: Is a directory"),
    (["audit", "--config", "x", "--partitions", "1-x"], "--partitions '1-x' must be numbers and ranges"),
    (["audit", "--config", "x", "--topic", "a/1", "--topic", "b"], "--topic 'a/1' goes with no other --topic"),
    (["audit", "--config", "x", "--topic", "a/1", "--partitions", "2"], "must be a topic, or one partition of it"),
    (["audit", "--config", "x", "--partitions", "5-1"], "--partitions '5-1' must be numbers and ranges"),
    (["audit", "--config", "x", "--from", "yesterday"], "--from 'yesterday' must be an offset, or a time such as"),
    (["help", "nothing"], "there is no command 'nothing'"),
    (["offsets", "--config", "x", "rest"], "offsets takes 'reset' or nothing, not 'rest'"),
    (["offsets", "--config", "x", "--yes"], "--yes goes with 'offsets reset'"),
    (["offsets", "reset", "--config", "x"], "offsets reset needs --to PLACE"),
    (["offsets", "reset", "--config", "x", "--to", "noon"], "--to 'noon' is none of earliest, latest"),
    (["offsets", "reset", "--config", "x", "--to", "-1x"], "--to '-1x' is none of"),
    (["offsets", "reset", "--config", "x", "--to", "1", "--yes", "--dry-run"], "--yes and --dry-run contradict"),
    (["offsets", "reset", "--config", "x", "--to", "1", "--wait", "long"], "--wait 'long' must be a time"),
    (["offsets", "--config", "x", "--topic", "events/a"], "must be a topic, or one partition of it such as events/0"),
    (["offsets", "--config", "x", "--partitions", "1"], "--partitions goes with --topic"),
    (["recover", "--config", "x", "--take-as-landed", "--insert-again"], "contradict each other"),
  ])
  func aWrongCommandLineSaysWhatWouldBeRight(words: [String], message: String) async throws {
    let result = try await SinkctlProcess.run(words)
    #expect(result.code == 64, "\(result)")
    #expect(result.error.contains(message), "\(result.error)")
    #expect(result.out.isEmpty)
  }

  @Test func versionsAreThoseOfTheLoadedLibraries() async throws {
    let result = try await SinkctlProcess.run(["version", "--json"])
    let versions = try #require(JSONSerialization.jsonObject(with: Data(result.out.utf8)) as? [String: String])
    #expect(result.code == 0)
    #expect(versions["librdkafka"] == KafkaLibrary.version)
    #expect(versions["sinkctl"] == VersionCommand.version)
    #expect(versions["libcurl"]?.first?.isNumber == true)
    let text = try await SinkctlProcess.run(["--version"]).out
    for (name, version) in versions { #expect(text.contains("\(name) \(version)\n")) }
  }

  @Test func aBrokenFileIsSaidLineByLineAndEndsWith78() async throws {
    let directory = try TemporaryDirectory()
    let file = try directory.write(
      "t.yaml", "kafka:\n  brokers: [a:9092]\nclickhouse: {url: x}\nroutes: []\nlog: {levl: info}\n")
    for words in [["check", "--config", file], ["run", "--config", file]] {
      let result = try await SinkctlProcess.run(words)
      #expect(result.code == 78)
      let lines = (result.out + result.error).split(separator: "\n").filter { $0.hasPrefix("\(file):") }
      #expect(
        lines.map { String($0.dropFirst(file.count + 1).prefix { $0 != " " }) } == ["2:3:", "3:19:", "4:9:", "5:7:"],
        "\(result)")
    }
    let json = try await SinkctlProcess.run(["check", "--config", file, "--json"])
    let object = try #require(JSONSerialization.jsonObject(with: Data(json.out.utf8)) as? [String: Any])
    #expect(object["ok"] as? Bool == false)
    #expect((object["findings"] as? [[String: Any]])?.compactMap { $0["line"] as? Int } == [2, 3, 4, 5])
    let missing = try await SinkctlProcess.run(["run", "--config", "/nowhere.yaml"])
    #expect(missing.code == 78)
    #expect(missing.error == "/nowhere.yaml: No such file or directory\n")
  }

  @Test func bashCompletesCommandsOptionsAndFiles() async throws {
    let script = try await SinkctlProcess.run(["completions", "bash"]).out
    let directory = try TemporaryDirectory()
    let file = try directory.write("bash", script)
    try directory.write("my file.yaml", "")
    func complete(_ words: String...) throws -> [String] {
      let quoted = words.map { "'\($0)'" }.joined(separator: " ")
      let output = try Shell.run(
        "cd '\(directory.url.path)' && source '\(file)' && COMP_WORDS=(sinkctl \(quoted)) COMP_CWORD=\(words.count) && _sinkctl "
          + "&& printf '%s\\n' \"${COMPREPLY[@]}\"")
      return output.split(separator: "\n").map(String.init).sorted()
    }
    #expect(try complete("") == CommandTable.all.map(\.name).sorted())
    #expect(try complete("ch") == ["check"])
    #expect(try complete("check", "--") == ["--config", "--help", "--json", "--offline"])
    #expect(try complete("check", "--config", "my") == ["my file.yaml"])
    #expect(try complete("completions", "") == ["bash", "fish", "zsh"])
    #expect(try complete("help", "pro") == ["produce"])
    #expect(try complete("produce", "--topic", "") == [])
  }

  @Test(.enabled(if: Shell.has("groff"), "groff is not installed")) func theManualPageRendersWithoutWarnings()
    async throws
  {
    let page = try await SinkctlProcess.run(["man"]).out
    let directory = try TemporaryDirectory()
    let file = try directory.write("sinkctl.1", page)
    #expect(page.utf8.allSatisfy { $0 < 0x80 }, "roff takes ASCII")
    // Bold letters come as struck over.
    let text = try Shell.run("groff -ww -man -Tascii -P-c '\(file)' 2>&1").replacing(/.\u{8}/, with: "")
    #expect(!text.contains("warning") && !text.contains("error:"), "\(text)")
    for command in CommandTable.all { #expect(text.contains("sinkctl \(command.name)")) }
    if Shell.has("mandoc") { #expect(try Shell.run("mandoc -Tlint -Wwarning '\(file)'; true") == "") }
  }

  @Test func completionsOfOtherShellsAreReadByThem() async throws {
    let directory = try TemporaryDirectory()
    for shell in ["zsh", "fish"] {
      let file = try directory.write(shell, try await SinkctlProcess.run(["completions", shell]).out)
      #expect(!directory.text(shell).isEmpty)
      if Shell.has(shell) { #expect(try Shell.run("\(shell) -n '\(file)' 2>&1; true") == "") }
    }
  }
}

/// Sending lines to the mock cluster.
@Suite struct ProduceProcessTests {
  @Test func linesBecomeRecordsWithKeysAndHeaders() async throws {
    let mock = try MockCluster()
    try mock.createTopic("lines", partitions: 1)
    let brokers = mock.bootstrap.joined(separator: ",")
    let result = try await SinkctlProcess.run(
      [
        "produce", "--brokers", brokers, "--topic", "lines", "--key-separator", "::", "--header", "a=1",
        "--header=b=x=y",
      ], input: "k1::v1\n\nno key\r\nk2::v::2")
    #expect(result.code == 0 && result.out == "3 records in lines\n", "\(result)")

    let consumer = try KafkaConsumer(KafkaConsumerConfiguration(brokers: mock.bootstrap, group: "reader"))
    var seen: [String] = []
    for try await record in consumer.records(from: ["lines"]) {
      let headers = record.headers.map { "\($0.name)=\(String(decoding: $0.value ?? [], as: UTF8.self))" }
      let key = record.key.map { String(decoding: $0, as: UTF8.self) } ?? "-"
      seen.append("\(key) \(String(decoding: record.value ?? [], as: UTF8.self)) \(headers.joined(separator: ","))")
      if seen.count == 3 { break }
    }
    #expect(seen == ["k1 v1 a=1,b=x=y", "- no key a=1,b=x=y", "k2 v::2 a=1,b=x=y"])
    extendLifetime(mock)
  }

  @Test func theLineThatCannotBeSentIsNamed() async throws {
    let mock = try MockCluster()
    try mock.createTopic("lines", partitions: 1)
    let brokers = mock.bootstrap.joined(separator: ",")
    let long = String(repeating: "x", count: 1_100_000)
    let result = try await SinkctlProcess.run(
      ["produce", "--brokers", brokers, "--topic", "lines"], input: "one\ntwo\n\(long)\nfour\n")
    #expect(result.code == 77, "\(result)")
    #expect(result.error.contains("line 3: "), "\(result.error)")
    #expect(result.error.hasSuffix("; 2 records are known to be in lines\n"), "\(result.error)")

    let property = try await SinkctlProcess.run(
      ["produce", "--brokers", brokers, "--topic", "lines", "--property", "compression.type=zap"], input: "a\n")
    #expect(property.code == 78 && property.error.contains("compression.type = zap"), "\(property)")
    extendLifetime(mock)
  }

  @Test func brokersThatAreNotThereEndWith69() async throws {
    let port = try FreePorts.pick(1)[0]
    let result = try await SinkctlProcess.run(
      [
        "produce", "--brokers", "127.0.0.1:\(port)", "--topic", "t", "--property", "delivery.timeout.ms=500",
        "--property", "linger.ms=5",
      ], input: "a\n")
    #expect(result.code == 69, "\(result)")
    #expect(
      result.error.contains("line 1: ") && result.error.contains("0 records are known to be in t"), "\(result.error)")
  }
}

enum Shell {
  static func has(_ program: String) -> Bool {
    ["/usr/bin", "/bin", "/usr/local/bin"].contains {
      FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
    }
  }

  /// - Returns: standard output; standard error is thrown away.
  static func run(_ script: String) throws -> String {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(filePath: "/bin/bash")
    process.arguments = ["-c", script]
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }
}
