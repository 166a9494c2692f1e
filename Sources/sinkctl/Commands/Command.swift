/// A command as a row of one table: `--help`, the man page, the completions and the parser are made from it.
struct Command: Sendable {
  struct Option: Sendable {
    let name: String
    /// What its value is called; nil for a switch.
    let value: String?
    let help: String
    var isRequired = false
    var isRepeatable = false

    init(_ name: String, _ value: String? = nil, _ help: String, isRequired: Bool = false, isRepeatable: Bool = false) {
      self.name = name
      self.value = value
      self.help = help
      self.isRequired = isRequired
      self.isRepeatable = isRepeatable
    }
  }

  let name: String
  let summary: String
  /// Paragraphs for `--help` and the man page.
  let discussion: String
  var options: [Option] = []
  /// What stands without a name, for the usage line; nil where nothing may.
  var operands: String?
  var examples: [String] = []
  let run: @Sendable (Arguments) async -> ExitCode

  static let config = Option("config", "FILE", "The configuration file; see docs/CONFIGURATION.md.", isRequired: true)
}

/// What a command was called with, checked against its row.
struct Arguments: Sendable {
  let options: [String: [String]]
  let operands: [String]

  func value(_ name: String) -> String? { options[name]?.last }
  func values(_ name: String) -> [String] { options[name] ?? [] }
  func has(_ name: String) -> Bool { options[name] != nil }
}

/// The exit codes of sysexits(3) that we use.
enum ExitCode: Int32, Sendable, CaseIterable {
  case done = 0
  case findings = 1
  case usage = 64
  case unreachable = 69
  case software = 70
  case busy = 75
  case refused = 77
  case configuration = 78

  var meaning: String {
    switch self {
    case .done: "done, or drained after a signal"
    case .findings:
      "findings of 'check', 'audit', 'offsets' or 'recover'; a record that cannot become a row where dead_letters is "
        + "'stop'"
    case .usage: "the command line cannot be read"
    case .unreachable: "a server cannot be reached; 'run' waits for it, and ends so where it could not drain in time"
    case .software: "a failure inside, or another process has taken over our instance id"
    case .busy: "the group has members, so that its offsets cannot be set now"
    case .refused: "a server refuses us: credentials, grants, a missing table or topic"
    case .configuration: "the configuration cannot work"
    }
  }
}

/// A command line that is not one.
struct UsageProblem: Error, Equatable {
  let message: String
}

enum ArgumentParser {
  /// `--name value`, `--name=value`, `--switch`, `--` and operands.
  static func parse(_ words: [String], for command: Command) throws(UsageProblem) -> Arguments {
    var options: [String: [String]] = [:]
    var operands: [String] = []
    var rest = words[...]
    while let word = rest.popFirst() {
      if word == "--" {
        operands += rest
        break
      }
      guard word.hasPrefix("--") else {
        if word.hasPrefix("-"), word.count > 1 {
          throw UsageProblem(message: "'\(word)' is not an option; options are written out, such as --help")
        }
        operands.append(word)
        continue
      }
      let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      guard let option = command.options.first(where: { $0.name == name }) else {
        let near = Nearest.match(name, among: command.options.map(\.name)).map { "; did you mean --\($0)?" } ?? ""
        throw UsageProblem(message: "\(command.name) has no option --\(name)\(near)")
      }
      var value = parts.count == 2 ? String(parts[1]) : ""
      if let wanted = option.value, parts.count == 1 {
        guard let next = rest.popFirst() else { throw UsageProblem(message: "--\(name) needs its \(wanted)") }
        value = next
      } else if option.value == nil, parts.count == 2 {
        throw UsageProblem(message: "--\(name) takes no value")
      }
      if options[name] != nil, !option.isRepeatable { throw UsageProblem(message: "--\(name) is given twice") }
      options[name, default: []].append(value)
    }
    for option in command.options where option.isRequired && options[option.name] == nil {
      throw UsageProblem(message: "\(command.name) needs --\(option.name) \(option.value ?? "")")
    }
    if command.operands == nil, let first = operands.first {
      throw UsageProblem(message: "\(command.name) takes no '\(first)'")
    }
    return Arguments(options: options, operands: operands)
  }
}
