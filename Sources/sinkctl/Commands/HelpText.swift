/// Texts that are made from the table of commands.
enum HelpText {
  static var overview: String {
    let width = CommandTable.all.map(\.name.count).max() ?? 0
    let rows = CommandTable.all.map { "  " + pad($0.name, width) + "  " + $0.summary }
    return """
      sinkctl moves records from Kafka topics into ClickHouse tables: exactly where it left off, in bounded memory.

      usage: sinkctl COMMAND [options]

      \(rows.joined(separator: "\n"))

      'sinkctl COMMAND --help' tells more about each. Exit codes: 0 done or drained, 1 findings, 64 usage,
      69 a server is unreachable, 70 a failure inside, 77 refused by a server, 78 configuration.
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

  private static func usage(_ command: Command) -> String {
    let options = command.options.map { option in
      let word = "--\(option.name)" + (option.value.map { " \($0)" } ?? "")
      return option.isRequired ? word : "[\(word)]" + (option.isRepeatable ? "…" : "")
    }
    return (["sinkctl", command.name] + options + [command.operands].compactMap { $0 }).joined(separator: " ")
  }

  private static func pad(_ text: String, _ width: Int) -> String {
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

  static let completions = Command(
    name: "completions", summary: "Prints completions for a shell: bash, zsh or fish.",
    discussion: "Load them with 'source <(sinkctl completions bash)', or put them where your shell looks for them.",
    operands: "SHELL", examples: ["sinkctl completions fish > ~/.config/fish/completions/sinkctl.fish"]
  ) { arguments in
    switch arguments.operands.first {
    case "bash": Terminal.out(bash)
    case "zsh": Terminal.out("autoload -U +X bashcompinit && bashcompinit\n" + bash)
    case "fish": Terminal.out(fish)
    default:
      Terminal.error("sinkctl: completions needs the name of a shell: bash, zsh or fish.")
      return .usage
    }
    return .done
  }

  private static var bash: String {
    let cases = CommandTable.all.map { command in
      "    \(command.name)) COMPREPLY=($(compgen -f -W \"\(words(command))\" -- \"$word\")) ;;"
    }
    return """
      _sinkctl() {
        local word=${COMP_WORDS[COMP_CWORD]}
        if [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W "\(names)" -- "$word")); return; fi
        case ${COMP_WORDS[1]} in
      \(cases.joined(separator: "\n"))
        esac
      }
      complete -F _sinkctl sinkctl
      """
  }

  private static var fish: String {
    let rows = CommandTable.all.flatMap { command in
      ["complete -c sinkctl -n __fish_use_subcommand -f -a \(command.name) -d \(quoted(command.summary))"]
        + command.options.map { option in
          "complete -c sinkctl -n '__fish_seen_subcommand_from \(command.name)' -l \(option.name)"
            + (option.value == nil ? "" : " -r") + " -d \(quoted(option.help))"
        }
    }
    return rows.joined(separator: "\n")
  }

  private static var names: String { CommandTable.all.map(\.name).joined(separator: " ") }
  private static func words(_ command: Command) -> String {
    (command.options.map { "--\($0.name)" } + ["--help"]).joined(separator: " ")
  }
  private static func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "\\'") + "'" }

  static let man = Command(
    name: "man", summary: "Prints the manual page, sinkctl(1).", discussion: "In roff, for man(1).",
    examples: ["sinkctl man | man -l -"]
  ) { _ in
    Terminal.out(manual)
    return .done
  }

  private static var manual: String {
    var text = """
      .TH SINKCTL 1
      .SH NAME
      sinkctl \\- move records from Kafka topics into ClickHouse tables
      .SH SYNOPSIS
      .B sinkctl
      COMMAND [options]
      .SH COMMANDS

      """
    for command in CommandTable.all {
      text += ".SS \(roff(usage(command)))\n\(roff(command.summary))\n.PP\n\(roff(command.discussion))\n"
      for option in command.options {
        text += ".TP\n.B \\-\\-\(roff(option.name))\(option.value.map { " \(roff($0))" } ?? "")\n\(roff(option.help))\n"
      }
      for example in command.examples { text += ".PP\n.EX\n\(roff(example))\n.EE\n" }
    }
    return text
      + ".SH EXIT STATUS\n0 done or drained, 1 findings, 64 usage, 69 a server is unreachable, 70 a failure inside, 77 refused by a server, 78 configuration."
  }

  /// A line that begins with a dot or a quote would be a request of roff's.
  private static func roff(_ text: String) -> String {
    text.replacing("\\", with: "\\e").replacing("-", with: "\\-")
      .split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.hasPrefix(".") || $0.hasPrefix("'") ? "\\&" + $0 : $0.isEmpty ? ".PP" : $0 }.joined(separator: "\n")
  }
}
