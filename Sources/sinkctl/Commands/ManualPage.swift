/// sinkctl(1), made from the table of commands.
enum ManualPage {
  static let command = Command(
    name: "man", summary: "Prints the manual page, sinkctl(1).", discussion: "In roff, for man(1).",
    examples: ["sinkctl man | man -l -"]
  ) { _ in
    Terminal.out(text)
    return .done
  }

  private static var text: String {
    var text = """
      .TH SINKCTL 1 "" "sinkctl \(VersionCommand.version)" "User Commands"
      .SH NAME
      sinkctl \\- move records from Kafka topics into ClickHouse tables
      .SH SYNOPSIS
      .B sinkctl
      .I COMMAND
      [options]
      .SH COMMANDS

      """
    for command in CommandTable.all { text += section(command) }
    text += ".SH EXIT STATUS\n"
    for code in ExitCode.allCases { text += ".TP\n.B \(code.rawValue)\n\(roff(code.meaning))\n" }
    return text + """
      .SH SIGNALS
      .TP
      .B SIGTERM, SIGINT, SIGHUP
      The first one drains: what has been read lands, offsets are committed.
      A second one, half a second later or more, ends the process at once.
      .SH ENVIRONMENT
      Values of the configuration file may hold ${NAME} and ${NAME:\\-default}.
      """
  }

  private static func section(_ command: Command) -> String {
    var text = ".SS \(roff(HelpText.usage(command)))\n\(roff(command.summary))\n.PP\n\(roff(command.discussion))\n"
    for option in command.options {
      text += ".TP\n.B \\-\\-\(roff(option.name))\(option.value.map { " \(roff($0))" } ?? "")\n\(roff(option.help))\n"
    }
    for example in command.examples { text += ".PP\n.EX\n\(roff(example))\n.EE\n" }
    return text
  }

  /// ASCII, with what roff would read as its own escaped. A line that begins with a dot or a quote would be a request.
  private static func roff(_ text: String) -> String {
    text.replacing("\\", with: "\\e").replacing("-", with: "\\-").replacing("…", with: "...").replacing(
      "'", with: "\\(aq"
    )
    .split(separator: "\n", omittingEmptySubsequences: false)
    .map { $0.hasPrefix(".") ? "\\&" + $0 : $0.isEmpty ? ".PP" : String($0) }.joined(separator: "\n")
  }
}
