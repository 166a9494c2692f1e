public import ClickHouseClient

/// A request as it came, as far as it has been read.
public struct ReceivedRequest: Sendable {
  /// Counts the requests before it.
  public let index: Int
  /// Counts the connections before the one it came by: two requests with one number shared a connection.
  public let connection: Int
  public let method: String
  /// As it stands in the request line.
  public let target: String
  public let headers: [(name: String, value: String)]
  /// The parameters of the URL, decoded: settings, `query`, `query_id`, …
  public let parameters: [(name: String, value: String)]
  /// What was read of the body, without a chunked body's frames; empty where the server keeps none.
  public internal(set) var body: [UInt8] = []
  /// Bytes of the body that were read.
  public internal(set) var bodyBytes = 0
  public internal(set) var isBodyWhole = false
  /// Bytes of the answer that the kernel has taken, head included: a peer that does not read holds them back.
  public internal(set) var answerBytes = 0

  /// The last value of a parameter, which is the one that a server takes.
  public func parameter(_ name: String) -> String? { parameters.last { $0.name == name }?.value }

  /// The last value of a header, whose name is compared without case.
  public func header(_ name: String) -> String? {
    headers.last { $0.name.lowercased() == name.lowercased() }?.value
  }

  /// The statement: of the URL, and of the body where that is text.
  public var sql: String { parameter("query") ?? String(decoding: body, as: UTF8.self) }
  public var isInsert: Bool {
    (parameter("query") ?? "").drop { $0.isWhitespace }.prefix(7).uppercased() == "INSERT "
  }

  /// The body of an insert, decompressed and read as one Native block.
  /// - Throws: `malformedData` for what is none, such as a body that was cut.
  public func block() throws(ClickHouseError) -> Block {
    let compression: BlockCompression =
      switch header("content-encoding") {
      case "gzip": .gzip(level: 1)
      case "zstd": .zstdStream(level: 1)
      default: parameter("decompress") == "1" ? .lz4 : .none
      }
    return try EncodedBlock.decode(body: body, compression: compression)
  }

  /// The rows of that block, values in the order of its columns.
  public func rows() throws(ClickHouseError) -> [[ClickHouseValue]] {
    let block = try block()
    return (0..<block.rows).map { row in (0..<block.columnCount).map { block.value(row: row, column: $0) } }
  }
}
