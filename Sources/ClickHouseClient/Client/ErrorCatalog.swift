/// What to do about an error of ClickHouse.
public enum ErrorReaction: String, Sendable {
  /// The same bytes again, after a while: the server, its storage or the way to it is at fault and will recover.
  case retry
  /// Again and again, with an alarm: only a person can mend it, and nothing may be dropped until then.
  case pauseAndAlarm = "pause_and_alarm"
  /// The rows are at fault: to be cut until the bad ones stand alone.
  case isolate
}

/// ClickHouse's error codes, one row each, with what to do and why. A code that is not here is retried with an alarm:
/// an error that nobody has thought about must be seen, and must not cost a row.
public enum ErrorCatalog {
  /// What an insert that ended with the error may have left behind.
  public enum Effect: Sendable {
    /// Nothing: the server found the error before it wrote. (Of a view or a shard's error the text tells:
    /// `ClickHouseError.Code.partial`.)
    case notStored
    /// The server does not say: a block goes into one part for each partition, and an error may come between them or
    /// after the last.
    case open
  }

  public struct Entry: Sendable, Equatable {
    public let code: Int
    public let name: String
    public let reaction: ErrorReaction
    public let effect: Effect
    public let reason: String

    init(_ code: Int, _ name: String, _ reaction: ErrorReaction, _ effect: Effect, _ reason: String) {
      self.code = code
      self.name = name
      self.reaction = reaction
      self.effect = effect
      self.reason = reason
    }
  }

  static func isOfTooManyPartitions(_ code: Int?, _ text: String) -> Bool {
    code == 252 && text.contains("Too many partitions for single INSERT block")
  }

  public static func reaction(to code: Int) -> ErrorReaction { byCode[code]?.reaction ?? .pauseAndAlarm }

  public static func effect(of code: Int) -> Effect { byCode[code]?.effect ?? .open }

  public static func entry(for code: Int) -> Entry? { byCode[code] }

  private static let byCode = Dictionary(uniqueKeysWithValues: entries.map { ($0.code, $0) })

  public static let entries: [Entry] = [
    // The data's fault: the server has read the block and a value in it cannot be stored.
    Entry(
      6, "CANNOT_PARSE_TEXT", .isolate, .notStored, "a value cannot be parsed, in a column that is computed from ours"),
    Entry(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", .isolate, .notStored, "as 6"),
    Entry(38, "CANNOT_PARSE_DATE", .isolate, .notStored, "as 6, for a date"),
    Entry(41, "CANNOT_PARSE_DATETIME", .isolate, .notStored, "as 6, for a time"),
    Entry(69, "ARGUMENT_OUT_OF_BOUND", .isolate, .notStored, "a DEFAULT or view expression refuses a value"),
    Entry(70, "CANNOT_CONVERT_TYPE", .isolate, .notStored, "a value does not fit the column that a view writes"),
    Entry(72, "CANNOT_PARSE_NUMBER", .isolate, .notStored, "as 6, for a number"),
    Entry(131, "TOO_LARGE_STRING_SIZE", .isolate, .notStored, "a FixedString elsewhere is too short for a value"),
    Entry(153, "ILLEGAL_DIVISION", .isolate, .notStored, "an expression divides by a value that is 0"),
    Entry(321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", .isolate, .notStored, "a value does not fit a computed column"),
    Entry(349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", .isolate, .notStored, "NULL meets a column that takes none"),
    Entry(
      395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", .isolate, .notStored, "a check of the operator's own refuses a row"),
    Entry(407, "DECIMAL_OVERFLOW", .isolate, .notStored, "as 321, for a decimal"),
    Entry(469, "VIOLATED_CONSTRAINT", .isolate, .notStored, "a row breaks a CONSTRAINT of the table"),
    Entry(691, "UNKNOWN_ELEMENT_OF_ENUM", .isolate, .notStored, "an enum elsewhere does not have the value"),

    // A person's job: schema, grants and credentials.
    Entry(16, "NO_SUCH_COLUMN_IN_TABLE", .pauseAndAlarm, .notStored, "the table has changed under us"),
    Entry(20, "NUMBER_OF_COLUMNS_DOESNT_MATCH", .pauseAndAlarm, .notStored, "as 16"),
    Entry(44, "ILLEGAL_COLUMN", .pauseAndAlarm, .notStored, "a column is MATERIALIZED or ALIAS now"),
    Entry(46, "UNKNOWN_FUNCTION", .pauseAndAlarm, .notStored, "a DEFAULT or view uses a function that is gone"),
    Entry(47, "UNKNOWN_IDENTIFIER", .pauseAndAlarm, .notStored, "as 16"),
    Entry(50, "UNKNOWN_TYPE", .pauseAndAlarm, .notStored, "the table has a type that this server does not know"),
    Entry(53, "TYPE_MISMATCH", .pauseAndAlarm, .notStored, "a column's type has changed"),
    Entry(60, "UNKNOWN_TABLE", .pauseAndAlarm, .notStored, "the table is gone, or not there yet"),
    Entry(62, "SYNTAX_ERROR", .pauseAndAlarm, .notStored, "a bug of ours, or a name that this server cannot quote"),
    Entry(73, "UNKNOWN_FORMAT", .pauseAndAlarm, .notStored, "the server has no Native format"),
    Entry(81, "UNKNOWN_DATABASE", .pauseAndAlarm, .notStored, "as 60"),
    Entry(
      115, "UNKNOWN_SETTING", .pauseAndAlarm, .notStored, "clickhouse.settings names one that the server does not know"),
    Entry(164, "READONLY", .pauseAndAlarm, .notStored, "the user may only read, or may not change a setting"),
    Entry(192, "UNKNOWN_USER", .pauseAndAlarm, .notStored, "credentials"),
    Entry(193, "WRONG_PASSWORD", .pauseAndAlarm, .notStored, "credentials; passwords rotate"),
    Entry(194, "REQUIRED_PASSWORD", .pauseAndAlarm, .notStored, "credentials"),
    Entry(195, "IP_ADDRESS_NOT_ALLOWED", .pauseAndAlarm, .notStored, "the server's network list"),
    Entry(291, "DATABASE_ACCESS_DENIED", .pauseAndAlarm, .notStored, "grants"),
    Entry(392, "QUERY_IS_PROHIBITED", .pauseAndAlarm, .notStored, "the server forbids inserts"),
    Entry(452, "SETTING_CONSTRAINT_VIOLATION", .pauseAndAlarm, .notStored, "the profile forbids a setting"),
    Entry(497, "ACCESS_DENIED", .pauseAndAlarm, .notStored, "grants"),
    Entry(516, "AUTHENTICATION_FAILED", .pauseAndAlarm, .notStored, "credentials; passwords rotate"),
    Entry(
      33, "CANNOT_READ_ALL_DATA", .retry, .notStored, "the body was cut on its way; nothing of a single block is stored"
    ),
    Entry(40, "CHECKSUM_DOESNT_MATCH", .retry, .notStored, "the body was damaged on its way"),

    // The server will recover.
    Entry(159, "TIMEOUT_EXCEEDED", .retry, .open, "too slow now; whether it landed, the token knows"),
    Entry(198, "DNS_ERROR", .retry, .notStored, "the server cannot find its peers"),
    Entry(201, "QUOTA_EXCEEDED", .retry, .notStored, "the quota's interval ends"),
    Entry(202, "TOO_MANY_SIMULTANEOUS_QUERIES", .retry, .notStored, "load"),
    Entry(203, "NO_FREE_CONNECTION", .retry, .notStored, "load"),
    Entry(209, "SOCKET_TIMEOUT", .retry, .open, "network"),
    Entry(210, "NETWORK_ERROR", .retry, .open, "network"),
    Entry(225, "NO_ZOOKEEPER", .retry, .open, "Keeper is away"),
    Entry(236, "ABORTED", .retry, .open, "the server is shutting down"),
    Entry(241, "MEMORY_LIMIT_EXCEEDED", .retry, .open, "load"),
    Entry(242, "TABLE_IS_READ_ONLY", .retry, .open, "Keeper is away, or the replica is starting"),
    Entry(243, "NOT_ENOUGH_SPACE", .retry, .open, "disks are grown, merges free space"),
    Entry(244, "UNEXPECTED_ZOOKEEPER_ERROR", .retry, .open, "Keeper"),
    Entry(252, "TOO_MANY_PARTS", .retry, .open, "merges catch up; dropping rows for it would be wrong"),
    Entry(254, "REPLICA_IS_ALREADY_ACTIVE", .retry, .open, "a replica is restarting"),
    Entry(279, "ALL_CONNECTION_TRIES_FAILED", .retry, .open, "network"),
    Entry(285, "TOO_FEW_LIVE_REPLICAS", .retry, .open, "the quorum comes back"),
    Entry(286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", .retry, .open, "the quorum comes back"),
    Entry(289, "REPLICA_IS_NOT_IN_QUORUM", .retry, .open, "the quorum comes back"),
    Entry(290, "LIMIT_EXCEEDED", .retry, .open, "load"),
    Entry(297, "RECEIVED_ERROR_FROM_REMOTE_IO_SERVER", .retry, .open, "network inside the cluster"),
    Entry(319, "UNKNOWN_STATUS_OF_INSERT", .retry, .open, "the server itself does not know: same bytes, same token"),
    Entry(364, "RECEIVED_ERROR_TOO_MANY_REQUESTS", .retry, .open, "load"),
    Entry(384, "PART_IS_TEMPORARILY_LOCKED", .retry, .open, "parts are moving"),
    Entry(394, "QUERY_WAS_CANCELLED", .retry, .open, "somebody killed the insert"),
    Entry(425, "SYSTEM_ERROR", .retry, .open, "the server's operating system"),
    Entry(439, "CANNOT_SCHEDULE_TASK", .retry, .open, "no threads left"),
    Entry(473, "DEADLOCK_AVOIDED", .retry, .open, "an ALTER holds the table"),
    Entry(499, "S3_ERROR", .retry, .open, "object storage"),
    Entry(999, "KEEPER_EXCEPTION", .retry, .open, "Keeper"),
    Entry(1000, "POCO_EXCEPTION", .retry, .open, "network, mostly"),
    Entry(1001, "STD_EXCEPTION", .retry, .open, "unknown inside the server"),
    Entry(1002, "UNKNOWN_EXCEPTION", .retry, .open, "unknown inside the server"),
  ]
}

extension ClickHouseError {
  /// What to do about it: by the server's code; without one, by ours.
  public var reaction: ErrorReaction {
    if isOfTooManyPartitions { return .isolate }
    // A `partial` one is not to be cut: what the table has taken would be stored again under other tokens.
    return code == .server ? ErrorCatalog.reaction(to: serverCode ?? 0) : isRetriable ? .retry : .pauseAndAlarm
  }

  /// One code, two errors: a table that has too many parts, which merges mend, and a block that would make too many, which
  /// only a smaller block mends. Nothing of that one is stored: the server counts before it writes.
  var isOfTooManyPartitions: Bool { code == .server && ErrorCatalog.isOfTooManyPartitions(serverCode, message) }
}
