/// When a block stops growing. A pure function of what the block is and what the limits are.
public struct SealPolicy: Sendable, Equatable {
  /// Why a block was sealed; a label of the metrics.
  public enum Reason: String, Sendable, CaseIterable { case rows, bytes, age, memory, drain }

  public var maxRows: Int
  /// Of the uncompressed columns.
  public var maxBytes: Int
  /// From the block's first record until it is sealed.
  public var linger: Duration

  /// ClickHouse likes 10,000 to 100,000 rows an insert and about one insert a second and table.
  public init(maxRows: Int = 200_000, maxBytes: Int = 64 << 20, linger: Duration = .seconds(1)) {
    self.maxRows = maxRows
    self.maxBytes = maxBytes
    self.linger = linger
  }

  func reason(rows: Int, bytes: Int, age: Duration) -> Reason? {
    guard rows > 0 else { return nil }
    if rows >= maxRows { return .rows }
    if bytes >= maxBytes { return .bytes }
    return age >= linger ? .age : nil
  }
}
