internal import KafkaClient
internal import SinkBytes
internal import SinkThreads

/// The times that the delivery state machines are bound by.
struct DeliveryRules: Sendable, Equatable {
  /// The group's session timeout.
  var session: Duration
  /// How long before our session can end on the broker we stop sending inserts.
  var leaseMargin: Duration
  /// How long accounted offsets may wait for a commit of their own; those that travel with a declare do not wait.
  var commitInterval: Duration = .seconds(1)
  /// The age at which what the group holds of ours is read back before another commit.
  var verifyInterval: Duration = .seconds(1)
  /// An insert lands within so much of its sending, or never: the request's deadline and the server's
  /// `max_execution_time`.
  var insertDeadline: Duration
  /// Intents of one partition in its metadata. Those beyond wait, sealed, within the memory budget.
  var pendingLimit = 6
  /// Partitions whose ranges one block may hold. If the server refuses it for its data, each is inserted for itself.
  var partsLimit = 64

  /// How long before a drain's deadline its last commit goes out.
  var giveUpMargin: Duration = .seconds(1)

  /// From a claim on, the time after which no insert of a former owner can land any more: its lease is over within a
  /// session, its last insert within another deadline.
  var silence: Duration { session + insertDeadline }
}

/// Now, as the delivery machines need it. Intents outlive a process and a machine, so their age is wall time: hosts' clocks
/// must agree within a small part of the deduplication horizon.
struct Moment: Sendable, Equatable {
  let monotonic: MonotonicInstant
  /// Seconds since 1970 UTC.
  let wallSeconds: Int64
}

/// Where a partition's rows go, and what is known about its log.
struct DeliveryTarget: Sendable, Equatable {
  let origin: DeduplicationToken.Origin
  /// Of everything that shapes or places rows.
  let fingerprint: UInt64
  /// How long the table is sure to remember a token.
  var horizon: Duration
  /// A hash of the topic's id, its top bit set; nil where that cannot be asked for.
  var lineage: UInt64?
  /// A random number, its top bit clear: no token of before comes again where a partition is read anew.
  let freshLineage: UInt64

  /// For a partition that has no commit of ours to go on from.
  var lineageAnew: UInt64 {
    lineage.map { $0 & Self.identityMask | freshLineage & ~Self.identityMask } ?? freshLineage
  }

  /// Materialized views read the table: whether an old block has gone through them, no count of the table tells.
  var hasViews = false

  /// An intent may be inserted again, blindly, up to this age.
  var blindAge: Duration { horizon / 4 }

  /// By how much the clocks of hosts that share a group may differ.
  static let clockTolerance: Duration = .seconds(60)

  /// No token is remembered: a block whose outcome is unknown is counted, and what is missing of it made again.
  var isCounted: Bool { horizon == .zero }

  static func lineage(of topic: TopicID) -> UInt64 {
    let hash = unsafe [topic.high, topic.low].withUnsafeBytes { unsafe CityHash128.hash($0) }
    return hash.high | identifiedBit
  }

  /// Marks a lineage that an id was hashed into.
  static let identifiedBit: UInt64 = 1 << 63
  /// What of such a lineage names the log; the rest is drawn.
  static let identityMask: UInt64 = ~0 << 32
}

/// Why a partition stands still until a person has looked.
enum DeliveryFault: Error, Sendable, Equatable {
  /// The group's offset was committed by something else.
  case foreignCommit(offset: Int64?, metadata: String)
  /// The commit under our lineage belongs to another log of this name.
  case otherLog(committed: UInt64, present: UInt64)
  /// The log ends before an intent's range does.
  case truncated(Intent)
  /// The log ends before what comes next.
  case beyondLog(next: Int64, logEnd: Int64)
  /// The log no longer holds what comes next.
  case lostToRetention(next: Int64, logStart: Int64)
  /// An intent's range gives more rows than when it was declared: the log or its reading is another.
  case moreRows(Intent, found: Int)
  /// Too old to be inserted blindly, and only some of its rows are in the table.
  case partlyThere(Intent, found: Int)
  /// Too old to be inserted blindly, and the table cannot say whether it is there.
  case cannotCount(Intent)
  /// Too old to be inserted blindly; the table has it, but whether the materialized views behind it do, it cannot say.
  case viewsInDoubt(Intent)
  /// Bisecting a block that the server refuses needs more intents than the metadata holds.
  case tooManyIntents
}

/// What the shell around `ExactlyOnceStateMachine` has to do, in order.
enum DeliveryAction: Sendable, Equatable {
  /// Ask the group what it holds; the answer goes to `offsetsRead` or `readFailed`. For a partition without an offset the
  /// answer says where to start.
  case readOffsets([Int])
  /// One request. The answer goes to `committed`.
  case commit([DeliveryCommit])
  /// Start reading at the offset, paused until the first `read`.
  case assign(Int, offset: Int64)
  /// What is open of the partition is thrown away; reading goes on at `from`. With `through` the records up to it are one
  /// block, told by `collected` when the log has gone beyond; without, blocks are cut freely and told by `sealed`.
  case read(Int, from: Int64, through: Int64?, isDead: Bool)
  case pause(Int)
  /// Send the block, again and again with the same bytes, as long as the lease holds and not after `notAfter`.
  case insert(block: Int, token: DeduplicationToken, notAfter: MonotonicInstant)
  /// Count the table's rows of these offsets; the answer goes to `counted`.
  case count(Int, block: Int, first: Int64, last: Int64)
  /// The rows of the block are thrown away; where it has not been sent, it must not be any more.
  case cancel(block: Int)
  /// Given back.
  case unassign([Int])
  /// Everything is drained: leave.
  case finish
  /// Drop the handle without closing it. Everything that it had is gone from the machine already.
  case renew
  case stopped(Int, DeliveryFault)
}

struct DeliveryCommit: Sendable, Equatable {
  let partition: Int
  let offset: Int64
  let metadata: String
}
