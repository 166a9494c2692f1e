/// The fault in words that say what to do.
extension DeliveryFault {
  var message: String {
    switch self {
    case .foreignCommit(nil, _):
      "the group's offset is gone: the topic was deleted, or the offsets expired. Nothing is inserted until it is set"
    case .foreignCommit(let offset?, let metadata):
      "the group's offset \(offset) was committed by something else (its metadata is '\(metadata.prefix(80))'): find out "
        + "who else uses this group; then set the offset anew, or use another group"
    case .otherLog:
      "the topic was deleted and made again: the group's offset belongs to the old one. Set it to where the new one begins"
    case .truncated(let intent):
      "the log ends before offset \(intent.last), which was read from it already: it was made again, or lost its end"
    case .lostToRetention(let next, let start):
      "offset \(next) is to be read next, but the log begins at \(start): retention was faster. Set the group's offset to "
        + "\(start) to accept the gap"
    case .moreRows(let intent, let found):
      "offsets \(intent.first)–\(intent.last) gave \(intent.rows) rows and give \(found) now: the log, its isolation level "
        + "or the mapping is another"
    case .partlyThere(let intent, let found):
      "offsets \(intent.first)–\(intent.last) gave \(intent.rows) rows, and \(found) of them are in the table: it was changed "
        + "while they were in doubt"
    case .cannotCount(let intent):
      "offsets \(intent.first)–\(intent.last) may be in the table, too long ago for ClickHouse to know their token, and the "
        + "table has no columns _topic, _partition, _offset to tell by"
    case .tooManyIntents: "too many rows are refused by the server to note them all beside the offset"
    }
  }
}
