import Foundation
import SinkBytes
import TestServers
import Testing

@testable import ClickHouseClient

/// Bytes as other clients send and want them: the front must do with them what a server does.
extension ServerTests {
  /// Sends a request as it stands, off the test's thread.
  /// - Returns: the answer's status line and body.
  private func ask(
    _ server: RealServer, _ query: [(String, String)], headers: String = "", _ body: [UInt8]
  ) async throws -> (status: String, body: [UInt8]) {
    let port = try #require(server.url.split(separator: ":").last.flatMap { Int($0) })
    let pairs = query.map { "\($0.0)=\(ClickHouseClient.percentEncoded($0.1))" }.joined(separator: "&")
    let length = headers.contains("chunked") ? "" : "Content-Length: \(body.count)\r\n"
    let head = "POST /?\(pairs) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(headers)\(length)\r\n"
    let bytes = Array(head.utf8) + body
    let answer = try await Task.detached { try Loopback.exchange(port: port, bytes) }.value
    let blank = Array("\r\n\r\n".utf8)
    let end = try #require(answer.firstRange(of: blank), "no head in \(String(decoding: answer, as: UTF8.self))")
    let headText = String(decoding: answer[..<end.lowerBound], as: UTF8.self)
    var rest = Array(answer[end.upperBound...])
    if headText.lowercased().contains("transfer-encoding: chunked") { rest = try Self.unchunk(rest) }
    return (String(headText.prefix { $0 != "\r\n" && $0 != "\r" }), rest)
  }

  private static func unchunk(_ bytes: [UInt8]) throws -> [UInt8] {
    var result: [UInt8] = []
    var rest = bytes[...]
    while let line = rest.firstRange(of: Array("\r\n".utf8)) {
      let size = try #require(Int(String(decoding: rest[..<line.lowerBound], as: UTF8.self), radix: 16))
      if size == 0 { return result }
      result += rest[line.upperBound..<(line.upperBound + size)]
      rest = rest[(line.upperBound + size + 2)...]
    }
    throw ServerProblem(message: "a chunked answer without its end")
  }

  private func encoded(_ ids: Range<UInt64>, _ compression: BlockCompression) throws -> [UInt8] {
    var block = Block(layout: try BlockLayout([("id", .uint64), ("text", .string)]))
    for id in ids { try block.appendRow(["id": .uint(id), "text": .string("row \(id)")]) }
    return try unsafe EncodedBlock(block, compression: compression).body.withUnsafeBytes { unsafe Array($0) }
  }

  /// Frames of several methods, and of several blocks, in one body; a damaged one is refused.
  @Test(arguments: RealServer.here) func severalFramesInOneBody(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    _ = try await client.queryText("CREATE TABLE frames (id UInt64, text String) ENGINE = Memory")
    let query = [("query", "INSERT INTO frames (id, text) FORMAT Native"), ("decompress", "1")]
    var body = try encoded(0..<1000, .lz4) + encoded(1000..<3000, .zstd(level: 1)) + encoded(3000..<3001, .lz4)
    let answer = try await ask(server, query, body)
    #expect(answer.status.contains("200"), "\(answer.status) \(String(decoding: answer.body, as: UTF8.self))")
    let sums = "SELECT count(), sum(id), uniqExact(text) FROM frames"
    #expect(try await client.queryText(sums) == "3001\t\(3001 * 3000 / 2)\t3001\n")
    body[40] ^= 1
    let refused = try await ask(server, query, body)
    let words = String(decoding: refused.body, as: UTF8.self)
    #expect(!refused.status.contains("200") && words.contains("Code: 40"), "\(refused.status) \(words)")
    #expect(try await client.queryText(sums).hasPrefix("3001\t"))
  }

  /// What a server answers in frames is what our reader of frames reads: a Native block of more than one frame. They are
  /// LZ4's over HTTP, whatever the setting for servers' own connections says.
  @Test(arguments: RealServer.here) func answersInFrames(server: RealServer) async throws {
    let sql = "SELECT number AS id, concat('a text of some length, number ', toString(number)) AS text "
    let (status, body) = try await ask(
      server,
      [
        ("query", sql + "FROM system.numbers LIMIT 50000 FORMAT Native"), ("compress", "1"),
        ("network_compression_method", "zstd"), ("max_block_size", "50000"),
      ], [])
    #expect(status.contains("200"), "\(status)")
    #expect(body.count > 16 && body[16] == 0x82)
    let raw = try unsafe body.withUnsafeBytes { bytes in
      try unsafe BodyReader.decompress(bytes, .lz4).withUnsafeBytes { unsafe Array($0) }
    }
    #expect(raw.count > 1 << 20, "several frames")
    let block = try EncodedBlock.decode(body: raw, compression: .none)
    #expect(block.rows == 50000)
    #expect(block.value(row: 49999, column: 0) == .uint(49999))
    #expect(block.value(row: 31_415, column: 1) == "a text of some length, number 31415")
  }

  /// Arrays of a dictionary's type that are all empty: 18.16 sends the dictionary all the same.
  @Test(arguments: RealServer.here) func dictionariesOfNothing(server: RealServer) async throws {
    let client = try server.client()
    defer { client.close() }
    if server == .new { _ = try await client.queryText("SET allow_suspicious_low_cardinality_types = 1") }
    let inner = ["String", "Nullable(String)", "FixedString(3)", "UInt32"]
    let lists = inner.enumerated().map { "a\($0) Array(LowCardinality(\($1)))" }.joined(separator: ", ")
    _ = try await client.queryText(
      "CREATE TABLE nothings (id UInt8, \(lists), deep Array(Array(LowCardinality(String))), z UInt8) ENGINE = Memory")
    _ = try await client.queryText("INSERT INTO nothings (id, z) VALUES (1, 7), (2, 8)")
    let names = inner.indices.map { "a\($0)" } + ["deep"]
    for columns in [["id"] + names + ["z"]] + names.map({ ["id", $0] }) {
      var rows: [[ClickHouseValue]] = []
      for try await row in client.query("SELECT \(columns.joined(separator: ", ")) FROM nothings ORDER BY id") {
        rows.append(row.values)
      }
      let wanted: [[ClickHouseValue]] = [1, 2].map { id in
        columns.map { $0 == "id" ? .uint(id) : $0 == "z" ? .uint(id + 6) : .array([]) }
      }
      #expect(rows == wanted, "\(columns)")
    }
  }

  /// The statement in the URL or before the data, the body in chunks cut anywhere.
  @Test(arguments: RealServer.here, [true, false])
  func aChunkedBodyOfManyRows(server: RealServer, statementInURL: Bool) async throws {
    let client = try server.client()
    defer { client.close() }
    let table = "chunked_\(statementInURL)"
    _ = try await client.queryText("CREATE TABLE \(table) (id UInt64) ENGINE = Memory")
    let statement = "INSERT INTO \(table) FORMAT TabSeparated"
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SeededGenerator(seed: seed)
    let rows = Array(((statementInURL ? "" : statement + "\n") + (0..<100_000).map { "\($0)\n" }.joined()).utf8)
    var body: [UInt8] = []
    var rest = rows[...]
    while !rest.isEmpty {
      let piece = rest.prefix(Int.random(in: 1...40_000, using: &generator))
      body += Array(String(piece.count, radix: 16).utf8) + [13, 10] + piece + [13, 10]
      rest = rest.dropFirst(piece.count)
    }
    body += Array("0\r\n\r\n".utf8)
    let query = statementInURL ? [("query", statement)] : []
    let answer = try await ask(server, query, headers: "Transfer-Encoding: chunked\r\n", body)
    #expect(answer.status.contains("200"), "seed \(seed): \(String(decoding: answer.body, as: UTF8.self))")
    #expect(
      try await client.queryText("SELECT count(), sum(id), uniqExact(id) FROM \(table)")
        == "100000\t\(100_000 * 99_999 / 2)\t100000\n", "seed \(seed)")
  }
}
