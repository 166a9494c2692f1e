/// Every command that there is.
enum CommandTable {
  static let all: [Command] = [
    RunCommand.command, CheckCommand.command,
    OffsetsCommand.command, RecoverCommand.command, AuditCommand.command,
    ProduceCommand.command, DemoCommand.command, VersionCommand.command, Completions.command, ManualPage.command,
    HelpText.help,
  ]

  static func find(_ name: String) -> Command? { all.first { $0.name == name } }

  /// Runs what the words say and returns the process's exit code.
  static func run(_ words: [String]) async -> ExitCode {
    guard let first = words.first else {
      Terminal.error(HelpText.overview)
      return .usage
    }
    if first == "--help" || first == "-h" {
      Terminal.out(HelpText.overview)
      return .done
    }
    if first == "--version" { return await VersionCommand.command.run(Arguments(options: [:], operands: [])) }
    guard let command = find(first) else {
      let near = Nearest.match(first, among: all.map(\.name)).map { "; did you mean '\($0)'?" } ?? "."
      Terminal.error("sinkctl: there is no command '\(first)'\(near) 'sinkctl --help' lists them.")
      return .usage
    }
    let rest = Array(words.dropFirst())
    if rest.contains("--help") || rest.contains("-h") {
      Terminal.out(HelpText.help(for: command))
      return .done
    }
    do throws(UsageProblem) {
      return await command.run(try ArgumentParser.parse(rest, for: command))
    } catch {
      Terminal.error("sinkctl: \(error.message). 'sinkctl \(command.name) --help' tells more.")
      return .usage
    }
  }
}
