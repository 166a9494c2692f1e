import ClickHouseClient
import Foundation
import SinkBytes
import TestServers

@testable import Pipeline

/// The tables of docs/CONVERSIONS.md.
struct ConversionTable {
  struct Cell: Sendable {
    /// The whole record, whose field is `c`.
    let record: String
    /// The value; nil where the cell is about the record.
    let json: String?
    let type: String
    let outcome: Outcome
    /// What is said of ClickHouse; empty where it does the same.
    let difference: String

    var description: String { "\(record) into \(type)" }
  }

  enum Outcome: Sendable, Equatable {
    case stored(String)
    case refused(String)
  }

  let cells: [Cell]

  /// - Throws: with the line that is no row of a table.
  init() throws {
    let text = try String(contentsOf: TestMachine.root.appending(path: "docs/CONVERSIONS.md"), encoding: .utf8)
    var cells: [Cell] = []
    var isAboutRecords = false
    for line in text.split(separator: "\n") {
      if line.hasPrefix("## ") { isAboutRecords = line == "## Every column" }
      guard line.hasPrefix("| `") else { continue }
      let fields = line.split(separator: "|", omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      let spans = Self.spans(fields.count > 2 ? fields[2] : "")
      guard fields.count == 6, let json = Self.spans(fields[1]).first, !spans.isEmpty else {
        throw ServerProblem(message: "not a row of four cells: \(line)")
      }
      let outcome = try Self.outcome(fields[3], line)
      for type in spans {
        cells.append(
          Cell(
            record: isAboutRecords ? json : #"{"c":\#(json)}"#, json: isAboutRecords ? nil : json, type: type,
            outcome: outcome, difference: fields[4]))
      }
    }
    self.cells = cells
  }

  private static func outcome(_ field: String, _ line: Substring) throws -> Outcome {
    if field.hasPrefix("refused: ") { return .refused(String(field.dropFirst(9))) }
    if field == "the empty text" { return .stored("") }
    guard let text = spans(field).first else {
      throw ServerProblem(message: "nothing stored, nothing refused: \(line)")
    }
    return .stored(text)
  }

  private static func spans(_ field: String) -> [String] {
    field.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map {
      String($0.element)
    }
  }
}

/// One way to make a plan for tests.
enum TestPlan {
  static let berlin = ZoneTransitions(
    initialOffset: 3600, changes: [(1_774_746_000, 7200), (1_792_890_000, 3600)])

  static func make(
    _ columns: [(name: String, type: String)], mapping: MappingConfiguration = MappingConfiguration(),
    zones: [String: ZoneTransitions] = ["UTC": .utc, "Europe/Berlin": berlin]
  ) throws -> RecordPlan {
    try make(
      columns.map { ColumnDescription(name: $0.name, type: try ColumnType.parse($0.type)) }, mapping: mapping,
      zones: zones)
  }

  static func make(
    _ columns: [ColumnDescription], mapping: MappingConfiguration = MappingConfiguration(),
    zones: [String: ZoneTransitions] = ["UTC": .utc, "Europe/Berlin": berlin], nullAsDefault: Bool = true
  ) throws -> RecordPlan {
    let table = TableDescription(name: try TableName("t"), engine: "MergeTree", columns: columns)
    let server = ServerTraits(zone: "UTC", nullAsDefault: nullAsDefault, times: .wide)
    return try RecordPlan.resolve(table: table, mapping: mapping, zones: zones, server: server).get()
  }
}

extension RecordDecoder {
  mutating func append(_ text: String, to block: inout Block) -> RowOutcome {
    let bytes = Array(text.utf8)
    return unsafe bytes.withUnsafeBytes { unsafe append(value: $0, to: &block) }
  }
}

/// Values as ClickHouse shows them, times in UTC.
enum Shown {
  static func text(_ value: ClickHouseValue, isInside: Bool = false) -> String {
    switch value {
    case .null: "NULL"
    case .bool(let value): "\(value)"
    case .int(let value): "\(value)"
    case .uint(let value): "\(value)"
    case .decimal(let unscaled, let scale): decimal(unscaled, scale)
    case .float32(let value): float(Double(value), "\(value)")
    case .float64(let value): float(value, "\(value)")
    case .string(let text), .enumeration(let text): isInside ? "'\(text)'" : text
    case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
    case .uuid(let high, let low): uuid(high, low)
    case .date(let days): date(days)
    case .dateTime(let seconds): time(Int64(seconds), 0)
    case .dateTime64(let ticks, let precision): time(ticks, precision)
    case .ipv4(let address): ipv4(address)
    case .ipv6(let high, let low): ipv6(high, low)
    case .array(let values): "[" + values.map { text($0, isInside: true) }.joined(separator: ",") + "]"
    case .tuple(let values): "(" + values.map { text($0, isInside: true) }.joined(separator: ",") + ")"
    case .map(let entries):
      "{" + entries.map { text($0.key, isInside: true) + ":" + text($0.value, isInside: true) }.joined(separator: ",")
        + "}"
    }
  }

  private static func decimal(_ unscaled: Int128, _ scale: Int) -> String {
    let digits = "\(unscaled.magnitude)"
    let padded = String(repeating: "0", count: max(0, scale + 1 - digits.count)) + digits
    var decimals = padded.suffix(scale)
    while decimals.last == "0" { decimals.removeLast() }
    return (unscaled < 0 ? "-" : "") + padded.dropLast(scale) + (decimals.isEmpty ? "" : "." + decimals)
  }

  private static func float(_ value: Double, _ shortest: String) -> String {
    if value == 0 { return value.sign == .minus ? "-0" : "0" }
    if value.isFinite, value == value.rounded(), abs(value) < 1e18 { return "\(Int64(value))" }
    return shortest
  }

  private static func uuid(_ high: UInt64, _ low: UInt64) -> String {
    let digits = padded(String(high, radix: 16), 16) + padded(String(low, radix: 16), 16)
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)]
    return parts.map { String(Array(digits)[$0.0..<$0.1]) }.joined(separator: "-")
  }

  private static func ipv4(_ address: UInt32) -> String {
    [24, 16, 8, 0].map { "\(address >> UInt32($0) & 0xFF)" }.joined(separator: ".")
  }

  private static func ipv6(_ high: UInt64, _ low: UInt64) -> String {
    var bytes = [UInt8]()
    for half in [high, low] { bytes += (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - $0 * 8)) } }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    _ = unsafe inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count))
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func date(_ days: Int32) -> String {
    let day = CivilDate(daysSinceEpoch: days)
    return "\(padded("\(day.year)", 4))-\(padded("\(day.month)", 2))-\(padded("\(day.day)", 2))"
  }

  private static func time(_ ticks: Int64, _ precision: Int) -> String {
    var unit: Int64 = 1
    for _ in 0..<precision { unit *= 10 }
    let fraction = (ticks % unit + unit) % unit
    let seconds = (ticks - fraction) / unit
    let second = (seconds % 86_400 + 86_400) % 86_400
    let clock = [second / 3600, second / 60 % 60, second % 60].map { padded("\($0)", 2) }.joined(separator: ":")
    let tail = precision == 0 ? "" : "." + padded("\(fraction)", precision)
    return date(Int32((seconds - second) / 86_400)) + " " + clock + tail
  }

  private static func padded(_ text: String, _ count: Int) -> String {
    String(repeating: "0", count: max(0, count - text.count)) + text
  }
}
