import ClickHouseTestKit
import SinkTelemetry
import TestServers

@testable import ClickHouseClient

/// A client of a scripted server, and a block to send.
enum Scripted {
  static let tables = [ScriptedTable("events", columns: [("id", "UInt64"), ("text", "String")])]

  static func client(
    _ server: ScriptedServer, _ change: (inout ClickHouseConfiguration) -> Void = { _ in }
  ) throws -> ClickHouseClient {
    var configuration = ClickHouseConfiguration(url: server.url, user: "zoe-the-user", password: "not-in-the-url")
    configuration.requestTimeout = .patience
    configuration.connectTimeout = .patience
    change(&configuration)
    return try ClickHouseClient(configuration)
  }

  static func block(rows: Int = 3, textBytes: Int = 10) throws -> Block {
    var block = try Block(columns: [("id", .uint64), ("text", .string)])
    for row in 0..<rows {
      // Not compressible away: sizes on the wire matter to some faults.
      var text = ""
      var state = UInt64(row) &* 0x9E37_79B9_7F4A_7C15 | 1
      while text.utf8.count < textBytes {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        text += String(state >> 16, radix: 36)
      }
      try block.appendRow(["id": .uint(UInt64(row)), "text": .string(String(text.prefix(textBytes)))])
    }
    return block
  }

  /// One insert and its outcome; the server is asked nothing before it.
  static func insert(
    _ client: ClickHouseClient, rows: Int = 3, textBytes: Int = 10, compression: BlockCompression = .none
  ) async throws -> InsertOutcome {
    let encoded = try EncodedBlock(try block(rows: rows, textBytes: textBytes), compression: compression)
    let request = InsertRequest(table: TableName(table: "events"), block: encoded)
    return await withCheckedContinuation { continuation in
      client.insert(request) { continuation.resume(returning: $0.outcome) }
    }
  }
}

extension Scripted {
  /// A Native block as a server sends it, for answers to queries.
  static func native(rows: Int, textBytes: Int = 10) throws -> [UInt8] {
    try EncodedBlock(try block(rows: rows, textBytes: textBytes), compression: .none).bytes
  }
}

extension EncodedBlock {
  /// A copy of what an attempt sends.
  var bytes: [UInt8] { unsafe body.withUnsafeBytes { unsafe [UInt8]($0) } }
}

/// What an outcome says, in a form that tests compare and print.
enum Told: Equatable, CustomStringConvertible {
  case accepted
  case rejected(Int?)
  case unknown(Int?)

  init(_ outcome: InsertOutcome) {
    switch outcome {
    case .accepted: self = .accepted
    case .rejected(let error): self = .rejected(error.serverCode)
    case .unknown(let error): self = .unknown(error.serverCode)
    }
  }

  var description: String {
    switch self {
    case .accepted: "accepted"
    case .rejected(let code): "rejected(\(code.map(String.init) ?? "-"))"
    case .unknown(let code): "unknown(\(code.map(String.init) ?? "-"))"
    }
  }
}

extension InsertOutcome {
  var error: ClickHouseError? {
    switch self {
    case .accepted: nil
    case .rejected(let error), .unknown(let error): error
    }
  }
}
