internal import SinkBytes

/// A rejection inside the record loop: a few bytes, so that throwing it allocates nothing. Its words are made after.
struct RowFailure: Error {
  let reason: Rejection.Reason
  /// Index of the column, -1 where none is to blame.
  var column: Int32 = -1
  /// Where in the record the value to blame starts, -1 where none is.
  var offset: Int32 = -1
  /// What exactly is no JSON.
  var syntax: JSONError?

  init(_ reason: Rejection.Reason) { self.reason = reason }

  init(syntax error: JSONError) {
    syntax = error
    switch error {
    case .badUTF8: reason = .invalidUTF8
    case .tooDeep: reason = .tooDeep
    default: reason = .invalidJSON
    }
  }

  init(number failure: NumberFailure) { reason = failure == .fraction ? .losesPrecision : .outOfRange }
}
