/// Completions for shells, made from the table of commands.
enum Completions {
  private static let shells: [(name: String, script: @Sendable () -> String)] = [
    ("bash", { bash }), ("zsh", { zsh }), ("fish", { fish }),
  ]

  static let command = Command(
    name: "completions", summary: "Prints completions for a shell: bash, zsh or fish.",
    discussion: "Load them with 'source <(sinkctl completions bash)', or put them where your shell looks for them.",
    operands: "SHELL",
    examples: [
      "sinkctl completions bash > /etc/bash_completion.d/sinkctl",
      "sinkctl completions zsh > ~/.zfunc/_sinkctl",
      "sinkctl completions fish > ~/.config/fish/completions/sinkctl.fish",
    ]
  ) { arguments in
    guard arguments.operands.count == 1, let shell = shells.first(where: { $0.name == arguments.operands[0] }) else {
      Terminal.error("sinkctl: completions takes the name of one shell: bash, zsh or fish.")
      return .usage
    }
    Terminal.out(shell.script())
    return .done
  }

  private static var commands: String { CommandTable.all.map(\.name).joined(separator: " ") }

  /// Words that an operand can be; nil where it is a file.
  private static func words(of operand: String) -> String? {
    switch operand {
    case "SHELL": shells.map(\.name).joined(separator: " ")
    case "[COMMAND]": commands
    case "[reset]": "reset"
    default: nil
    }
  }

  private static var bash: String {
    let cases = CommandTable.all.map { command in
      let options = (command.options.map { "--\($0.name)" } + ["--help"]).joined(separator: " ")
      var lines = ["    \(command.name))"]
      let takesPaths = command.options.filter { $0.value == "FILE" || $0.value == "DIR" }.map { "--\($0.name)" }
      let takesOther = command.options.filter { ($0.value ?? "FILE") != "FILE" && $0.value != "DIR" }.map {
        "--\($0.name)"
      }
      if !takesPaths.isEmpty {
        lines.append("      case $previous in \(takesPaths.joined(separator: "|"))) \(reply("-f")); return ;; esac")
      }
      if !takesOther.isEmpty {
        lines.append("      case $previous in \(takesOther.joined(separator: "|"))) return ;; esac")
      }
      lines.append("      if [[ $word == -* ]]; then \(reply("-W \"\(options)\"")); return; fi")
      if let operands = command.operands {
        lines.append("      \(reply(words(of: operands).map { "-W \"\($0)\"" } ?? "-f"))")
      } else {
        lines.append("      \(reply("-W \"\(options)\""))")
      }
      return (lines + ["      ;;"]).joined(separator: "\n")
    }
    return """
      _sinkctl() {
        local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
        COMPREPLY=()
        if [ "$COMP_CWORD" = 1 ]; then \(reply("-W \"\(commands)\"")); return; fi
        case ${COMP_WORDS[1]} in
      \(cases.joined(separator: "\n"))
        esac
      }
      complete -o filenames -F _sinkctl sinkctl
      """
  }

  private static func reply(_ what: String) -> String { "mapfile -t COMPREPLY < <(compgen \(what) -- \"$word\")" }

  private static var zsh: String {
    let names = CommandTable.all.map { "    \(quoted("\($0.name):\($0.summary)"))" }
    let cases = CommandTable.all.map { command in
      var specifications = command.options.map { option in
        let argument =
          option.value.map { ":\($0):" + ($0 == "FILE" ? "_files" : $0 == "DIR" ? "_files -/" : " ") } ?? ""
        let help = option.help.replacing("[", with: "\\[").replacing("]", with: "\\]").replacing(":", with: "\\:")
        return quoted("\(option.isRepeatable ? "*" : "")--\(option.name)[\(help)]\(argument)")
      }
      specifications.append(quoted("--help[Tells more.]"))
      if let operands = command.operands {
        specifications.append(quoted("*:\(operands):" + (words(of: operands).map { "(\($0))" } ?? "_files")))
      }
      return "    \(command.name)) _arguments \(specifications.joined(separator: " ")) ;;"
    }
    return """
      #compdef sinkctl
      _sinkctl() {
        local -a commands=(
      \(names.joined(separator: "\n"))
        )
        if (( CURRENT == 2 )); then _describe command commands; return; fi
        local name=$words[2]
        shift words
        (( CURRENT-- ))
        case $name in
      \(cases.joined(separator: "\n"))
        esac
      }
      compdef _sinkctl sinkctl
      """
  }

  private static var fish: String {
    let rows = CommandTable.all.flatMap { command in
      let condition = "-n '__fish_seen_subcommand_from \(command.name)'"
      var rows = [
        "complete -c sinkctl -n __fish_use_subcommand -f -a \(command.name) -d \(fishQuoted(command.summary))"
      ]
      rows += command.options.map { option in
        "complete -c sinkctl \(condition) -l \(option.name)" + (option.value == nil ? "" : " -r")
          + " -d \(fishQuoted(option.help))"
      }
      if let words = command.operands.flatMap({ words(of: $0) }) {
        rows.append("complete -c sinkctl \(condition) -f -a '\(words)'")
      }
      return rows
    }
    return rows.joined(separator: "\n")
  }

  private static func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "'\\''") + "'" }
  private static func fishQuoted(_ text: String) -> String {
    "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
  }
}
