/// Texts that are made from the table of commands.
enum HelpText {
  static var overview: String {
    let width = CommandTable.all.map(\.name.count).max() ?? 0
    let rows = CommandTable.all.map { "  " + pad($0.name, width) + "  " + $0.summary }
    return """
      sinkctl moves records from Kafka topics into ClickHouse tables: nothing lost, in bounded memory.

      usage: sinkctl COMMAND [options]

      \(rows.joined(separator: "\n"))

      To begin: write a sinkctl.yaml (docs/CONFIGURATION.md, examples/), then
        sinkctl check --config sinkctl.yaml    says everything that is wrong, in the file and with the servers
        sinkctl run --config sinkctl.yaml      moves records until it is told to stop

      'sinkctl COMMAND --help' tells more about each.

      exit codes:
      \(ExitCode.allCases.map { "  " + pad("\($0.rawValue)", 2) + "  " + $0.meaning }.joined(separator: "\n"))
      """
  }

  static func help(for command: Command) -> String {
    var text = "\(command.summary)\n\nusage: \(usage(command))\n\n\(command.discussion)"
    if !command.options.isEmpty {
      let names = command.options.map { "--\($0.name)" + ($0.value.map { " \($0)" } ?? "") }
      let width = names.map(\.count).max() ?? 0
      let rows = zip(names, command.options).map { "  " + pad($0, width) + "  " + $1.help }
      text += "\n\noptions:\n" + rows.joined(separator: "\n")
    }
    if !command.examples.isEmpty {
      text += "\n\nexamples:\n" + command.examples.map { "  \($0)" }.joined(separator: "\n")
    }
    return text
  }

  static func usage(_ command: Command) -> String {
    let options = command.options.map { option in
      let word = "--\(option.name)" + (option.value.map { " \($0)" } ?? "")
      return option.isRequired ? word : "[\(word)]" + (option.isRepeatable ? "…" : "")
    }
    return (["sinkctl", command.name] + options + [command.operands].compactMap { $0 }).joined(separator: " ")
  }

  static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  static let help = Command(
    name: "help", summary: "Tells about a command.", discussion: "The same as 'sinkctl COMMAND --help'.",
    operands: "[COMMAND]"
  ) { arguments in
    guard let name = arguments.operands.first else {
      Terminal.out(overview)
      return .done
    }
    return await CommandTable.run([name, "--help"])
  }
}
