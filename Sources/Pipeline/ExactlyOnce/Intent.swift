/// A sealed block's identity. It stands in the group's own commit from before the insert is sent until its rows are
/// accounted for, so that whoever comes after a crash makes the same block of the same records under the same token.
struct Intent: Sendable, Equatable {
  /// First and last offset, in a log that may have gaps between and at both ends.
  let first: Int64
  let last: Int64
  /// Rows and dead letters that the range gives: what a count must find.
  var rows: Int
  /// When it was first written into a commit, in seconds since 1970 UTC; nil before that.
  var declaredAt: Int64?
  let token: DeduplicationToken
  /// How many partitions' ranges the block holds, this one's among them. Each partition's commit has its own range, and
  /// all have the block's token: only who sees that many of them knows the whole block.
  var parts = 1
  /// The server refused the record for its data: it goes to the dead letters, whatever the decoder says of it.
  let isDead: Bool
  /// All of it is accounted for, but not all before it.
  var isDone = false

  /// Ranges of other partitions are in the same block.
  var isShared: Bool { parts > 1 }
}

extension Intent {
  /// Nobody has sent it yet: `recover` writes such ones, before others that must keep their place.
  var isUnsent: Bool { declaredAt == nil }

  /// A range that needs nothing any more.
  static func done(first: Int64, last: Int64) -> Intent {
    Intent(
      first: first, last: last, rows: 0, declaredAt: 0, token: DeduplicationToken(high: 0, low: 0), isDead: false,
      isDone: true)
  }
}
