import ClickHouseClient
import Foundation
import TestServers
import Testing

/// PyPI's clickhouse-connect, an implementation that is not ours, beside us at one server: each reads what the other wrote.
extension ServerTests {
  static let pythonClient: String? = {
    let python = TestMachine.root.appending(path: ".build/venv/bin/python").path
    guard TestMachine.hasFront, FileManager.default.isExecutableFile(atPath: python) else { return nil }
    return (try? run(python, "import clickhouse_connect"))?.status == 0 ? python : nil
  }()

  private static func run(_ python: String, _ program: String) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(filePath: python)
    process.arguments = ["-c", program]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }

  /// Off the test's thread: it waits for a process.
  private func python(_ program: String) async throws -> String {
    let python = try #require(Self.pythonClient)
    let result = try await Task.detached { try Self.run(python, program) }.value
    guard result.status == 0 else { throw ServerProblem(message: result.output) }
    return result.output
  }

  static let columns = """
    id UInt64, small Int8, ratio Float64, price Decimal(18, 4), name String, code FixedString(2), tag LowCardinality(String),
    note Nullable(String), key UUID, day Date, at DateTime64(3, 'UTC'), ip IPv4, kind Enum8('a' = 1, 'b' = 2),
    list Array(Nullable(Int32)), words Array(LowCardinality(String)), pair Tuple(Int16, String), map Map(String, UInt8)
    """

  /// The rows as we write them, and as Python shows them.
  static let rows: [(values: [ClickHouseValue], shown: String)] = [
    (
      [
        .uint(.max), -128, 0.1, .decimal(unscaled: -12_345, scale: 4), "Grüße 🌍", "xy", "red", .null,
        .uuid(high: 0x0001_0203_0405_0607, low: 0x0809_0a0b_0c0d_0e0f), .date(days: 20000),
        .dateTime64(ticks: 1_720_000_000_123, precision: 3), .ipv4(0xC0A8_0001), .enumeration("b"),
        .array([1, .null, -3]),
        .array(["p", "q", "p"]), .tuple([-2, "z"]),
        .map([ClickHouseMapEntry("k", .uint(7)), ClickHouseMapEntry("l", .uint(8))]),
      ],
      "(18446744073709551615, -128, 0.1, Decimal('-1.2345'), 'Grüße 🌍', b'xy', 'red', None, "
        + "UUID('00010203-0405-0607-0809-0a0b0c0d0e0f'), datetime.date(2024, 10, 4), '2024-07-03T09:46:40.123000', "
        + "IPv4Address('192.168.0.1'), 'b', [1, None, -3], ['p', 'q', 'p'], (-2, 'z'), {'k': 7, 'l': 8})"
    ),
    (
      [
        .uint(0), 127, -1.5, .decimal(unscaled: 0, scale: 4), "", "ab", "", "", .uuid(high: 0, low: 0), .date(days: 1),
        .dateTime64(ticks: 0, precision: 3), .ipv4(0), .enumeration("a"), .array([]), .array([]), .tuple([0, ""]),
        .map([]),
      ],
      "(0, 127, -1.5, Decimal('0.0000'), '', b'ab', '', '', UUID('00000000-0000-0000-0000-000000000000'), "
        + "datetime.date(1970, 1, 2), '1970-01-01T00:00:00', IPv4Address('0.0.0.0'), 'a', [], [], (0, ''), {})"
    ),
  ]

  private static func program(_ url: String, _ rest: String) -> String {
    let port = url.split(separator: ":").last ?? ""
    return """
      import datetime, clickhouse_connect
      from decimal import Decimal
      from uuid import UUID
      from ipaddress import IPv4Address
      client = clickhouse_connect.get_client(host="127.0.0.1", port=\(port))
      \(rest)
      """
  }

  @Test(.enabled(if: pythonClient != nil, "needs PyPI's clickhouse-connect: scripts/test installs it"))
  func anIndependentClientReadsWhatWeWriteAndWritesWhatWeRead() async throws {
    let client = try RealServer.new.client()
    defer { client.close() }
    for table in ["ours", "theirs"] {
      _ = try await client.queryText("CREATE TABLE \(table) (\(Self.columns)) ENGINE = Memory")
    }
    var block = try await client.emptyBlock(for: "ours")
    for row in Self.rows {
      try block.appendRow(Array(zip(block.layout.names, row.values)).map { (name: $0, value: $1) })
    }
    guard case .accepted = await client.insert(block) else {
      Issue.record("the insert failed")
      return
    }
    let shown = try await python(
      Self.program(
        client.configuration.url,
        """
        for row in client.query("SELECT * FROM ours ORDER BY id DESC").result_rows:
          row = list(row)
          row[10] = row[10].replace(tzinfo=None).isoformat()
          print(tuple(row))
        """))
    #expect(shown == Self.rows.map { $0.shown + "\n" }.joined())

    let rows = Self.rows.map { row in
      var text = row.shown
      for time in ["2024-07-03T09:46:40.123000", "1970-01-01T00:00:00"] {
        text = text.replacing("'\(time)'", with: "datetime.datetime.fromisoformat('\(time)+00:00')")
      }
      return text
    }
    _ = try await python(
      Self.program(client.configuration.url, "client.insert(\"theirs\", [\(rows.joined(separator: ", "))])"))
    var read: [[ClickHouseValue]] = []
    for try await row in client.query("SELECT * FROM theirs ORDER BY id DESC") { read.append(row.values) }
    #expect(read == Self.rows.map(\.values))
  }
}
