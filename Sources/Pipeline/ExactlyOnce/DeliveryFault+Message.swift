internal import KafkaClient

/// The fault in words that say what to do.
extension DeliveryFault {
  func message(of partition: TopicPartition) -> String {
    let recover = "'sinkctl recover --topic \(partition)'"
    let reset = "'sinkctl offsets reset --topic \(partition)"
    return switch self {
    case .foreignCommit(nil, _):
      "the group's offset is gone: the topic was deleted, or the offsets expired. A new start begins at kafka.start; "
        + "\(reset)' sets another place"
    case .foreignCommit(let offset?, let metadata):
      "the group's offset \(offset) was committed by something else (its metadata is '\(metadata.prefix(80))'): find out "
        + "who else uses this group; then \(recover) accepts the offset as it stands"
    case .otherLog:
      "the topic was deleted and made again: the group's offset belongs to the old one. \(reset) --to earliest' begins "
        + "with the new one"
    case .truncated(let intent):
      "the log ends before offset \(intent.last), which was read from it already: it was made again, or lost its end. "
        + "\(recover) shows what can be done"
    case .beyondLog(let next, let logEnd):
      "offset \(next) is to be read next, but the log ends at \(logEnd): it was made again, or lost its end. \(recover) "
        + "begins where the log does"
    case .lostToRetention(let next, let start):
      "offset \(next) is to be read next, but the log begins at \(start): retention was faster. \(recover) accepts the gap"
    case .moreRows(let intent, let found):
      "offsets \(intent.first)–\(intent.last) gave \(intent.rows) rows and give \(found) now: the log, its isolation level "
        + "or the mapping is another. \(recover) offers two choices"
    case .partlyThere(let intent, let found):
      "offsets \(intent.first)–\(intent.last) gave \(intent.rows) rows, and \(found) of them are in the table: it was changed "
        + "while they were in doubt. \(recover) offers two choices"
    case .cannotCount(let intent):
      "offsets \(intent.first)–\(intent.last) may be in the table, too long ago for ClickHouse to know their token, and the "
        + "table cannot tell: it has no columns _topic, _partition, _offset, or its merges take rows away. \(recover) offers two "
        + "choices"
    case .viewsInDoubt(let intent):
      "offsets \(intent.first)–\(intent.last) are in the table, but they were too long in doubt to be sent again, and whether "
        + "the materialized views behind it have them, nobody can tell: look there. \(recover) offers two choices"
    case .tooManyIntents:
      "too many rows are refused by the server to note them all beside the offset: mend the table, then start again"
    }
  }
}
