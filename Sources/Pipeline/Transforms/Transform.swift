/// What a transform wants with a record.
public enum Verdict: Sendable, Equatable {
  case keep
  /// Accounted for, counted as filtered, and not inserted.
  case drop
}

/// A change to records on their way to rows, written in Swift.
///
/// It must be a pure function of the record: after a crash the same records are read again and must become the same rows.
/// No clock, no counter, no look at the outside.
///
/// A record of 13 fields costs a microsecond more for being taken apart, and half of one for being put together again
/// where something was changed; the call itself is lost in that (`Benchmarks/decode transforms`).
public protocol Transform: Sendable {
  /// To be changed whenever a record may become something else than before. Exactly once, blocks that were on their way
  /// under another version are looked for in the table before anything of them is inserted. By default always the same.
  var version: String { get }

  /// - Throws: `Rejection` of reason `transform`, for a record that shall become a dead letter.
  func apply(to record: inout RecordFields) throws(Rejection) -> Verdict
}

extension Transform {
  public var version: String { "1" }
}

extension [any Transform] {
  /// One after the other; the first that drops ends it.
  func applyAll(to record: inout RecordFields) throws(Rejection) -> Verdict {
    for transform in self where try transform.apply(to: &record) == .drop { return .drop }
    return .keep
  }
}
