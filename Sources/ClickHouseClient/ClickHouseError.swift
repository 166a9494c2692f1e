/// What ClickHouse, the way to it, or this library refused: what happened, to what, and what to do about it.
public struct ClickHouseError: Error, Sendable, CustomStringConvertible {
  /// What a caller may want to tell apart; the server's own number is in `serverCode`.
  public enum Code: String, Sendable, Hashable {
    /// The text of a type is no type.
    case invalidType
    /// A type that this library does not write or read yet.
    case unsupportedType
    /// A value that does not fit its column, or a column that the block does not have.
    case invalidValue
    /// Bytes of a server's answer that are not what their format says.
    case malformedData
    /// An answer asks for more memory than its reader was allowed.
    case limitExceeded
    /// A compressor or decompressor failed.
    case compression
    /// A setting of ours that cannot work.
    case configuration
    /// The way to the server: names, connections, deadlines.
    case transport
    /// Certificates and their files, ours or the server's: somebody must mend them.
    case tls
    /// Something that is not ClickHouse answered.
    case proxy
    /// ClickHouse said no; its number is in `serverCode`.
    case server
    /// ClickHouse said no when a part of the block may have been stored: a materialized view refused what the table
    /// itself had taken, or a shard behind a `Distributed` table what others had.
    case partial
    /// The client was closed, or the call cancelled.
    case cancelled
  }

  public let code: Code
  /// Names the thing, the value and what to do. Never holds a secret.
  public let message: String
  /// ClickHouse's error code, where the server named one.
  public let serverCode: Int?
  /// The same call may succeed later without any change by an operator.
  public let isRetriable: Bool

  public init(code: Code, message: String, serverCode: Int? = nil, isRetriable: Bool = false) {
    self.code = code
    self.message = message
    self.serverCode = serverCode
    self.isRetriable = isRetriable
  }

  static func cancelled(_ message: String) -> ClickHouseError {
    ClickHouseError(code: .cancelled, message: message, isRetriable: true)
  }

  public var description: String { "\(code.rawValue): \(message)" }
}
