/// What promise a route makes about each record.
public enum DeliveryGuarantee: String, Sendable, CaseIterable {
  /// Every record lands at least once: after a crash, the blocks whose commit was still to come are inserted again.
  case atLeastOnce = "at_least_once"
  /// Every record lands once: see docs/DELIVERY.md for what that needs.
  case exactlyOnce = "exactly_once"
}

/// How a block that may be in its table already is told from one that is not. For exactly once.
public enum DeduplicationMode: String, Sendable, CaseIterable {
  /// It is sent again under its token: the server drops what it has (22.x and later, tables with a window).
  case token
  /// It is never sent again blindly: its offsets are counted in the table, which has `_topic`, `_partition` and `_offset`,
  /// once no former attempt can land any more. For servers that know no tokens.
  case count
}

/// Where records go that cannot become rows.
public enum DeadLetterPolicy: Sendable, Equatable {
  /// To a Kafka topic: key, value and headers as they were, and the reason in more headers.
  case topic(String)
  /// To a ClickHouse table, by the names of its columns; see docs/CONFIGURATION.md.
  case table(String)
  /// The pipeline ends with an error that names the record; nothing beyond it is committed.
  case stop
  /// Counted, and gone.
  case skip
}

/// One way from topics to a table.
public struct RouteConfiguration: Sendable {
  /// Names, or regular expressions that start with `^` (POSIX extended, as librdkafka reads them).
  public var topics: [String]
  /// `table` or `database.table`.
  public var table: String
  public var mapping: MappingConfiguration
  /// nil: exactly once where all that it needs is there, else at least once; `PipelineStatus.delivery` says which.
  public var delivery: DeliveryGuarantee?
  public var deduplication: DeduplicationMode
  /// Names from the dictionary that the pipeline is made with, applied in this order.
  public var transforms: [String]
  public var deadLetters: DeadLetterPolicy
  public var block: SealPolicy

  public init(
    topics: [String], table: String, mapping: MappingConfiguration = MappingConfiguration(),
    delivery: DeliveryGuarantee? = nil, deduplication: DeduplicationMode = .token, transforms: [String] = [],
    deadLetters: DeadLetterPolicy = .stop, block: SealPolicy = SealPolicy()
  ) {
    self.topics = topics
    self.table = table
    self.mapping = mapping
    self.delivery = delivery
    self.deduplication = deduplication
    self.transforms = transforms
    self.deadLetters = deadLetters
    self.block = block
  }
}
