/// How the body of an `INSERT` is compressed.
public enum BlockCompression: Sendable, Hashable {
  case none
  /// ClickHouse's own frames with LZ4: the request says `decompress=1`.
  case lz4
  /// ClickHouse's own frames with ZSTD, level 1…19: the request says `decompress=1`.
  case zstd(level: Int)
  /// One gzip stream, level 1…9: the request says `Content-Encoding: gzip`, which proxies understand.
  case gzip(level: Int)
  /// One zstd stream, level 1…19: the request says `Content-Encoding: zstd` (ClickHouse 21.1 and later). For proxies that
  /// look into bodies; else ClickHouse's own frames do the same.
  case zstdStream(level: Int)

  /// Whether the request must say `decompress=1`.
  public var usesFrames: Bool {
    switch self {
    case .lz4, .zstd: true
    case .none, .gzip, .zstdStream: false
    }
  }

  /// The request's `Content-Encoding`; `nil` where it has none.
  public var contentEncoding: String? {
    switch self {
    case .gzip: "gzip"
    case .zstdStream: "zstd"
    case .none, .lz4, .zstd: nil
    }
  }
}
