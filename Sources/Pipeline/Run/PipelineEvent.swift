internal import ClickHouseClient
internal import KafkaClient

/// What reaches the consumer's thread from the others.
enum PipelineEvent: Sendable {
  /// All rows of the block are in the table, or have become dead letters.
  case landed(SealedBlock.ID, runs: [OffsetRun])
  /// What became of a block that was allowed to be sent.
  case ended(SealedBlock.ID, ExactlyOnceStateMachine.InsertResult)
  /// How many offsets of an old block the table has, and its dead letter table; nil where it cannot say.
  case counted(partition: Int, block: Int, rows: Int?, deadLetters: Int)
  /// Which offsets of a block that is to be made again must not go anywhere again.
  case offsetsFound(partition: Int, ReplayRange, Set<Int64>)
  /// How long the table remembers tokens, as is measured now.
  case horizon(table: String, Duration)
  /// The server refuses this one row; its block lands without it.
  case rowRejected(partition: Int, offset: Int64, ClickHouseError)
  /// The original of a row that the server refused.
  case recordRead(RefusedRow, RecordReader.Answer)
  case spare(SpareBlock)
  case deadLetterAnswered(DeadLetter.ID, KafkaError?)
}

/// A row that only the server refused, on its way to become a dead letter. It has a claim of its own, so that its block
/// can land without it.
struct RefusedRow: Sendable {
  let holder: DeadLetter.ID
  let partition: Int
  let offset: Int64
  let error: ClickHouseError
}
