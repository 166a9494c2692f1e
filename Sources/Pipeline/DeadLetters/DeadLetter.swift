internal import KafkaClient

/// A record that cannot become a row, as it was, with the reason.
struct DeadLetter: Sendable {
  typealias ID = PartitionLedger.HolderID

  let id: ID
  /// The pipeline's id of the assigned partition.
  let partition: Int
  let record: Record
  /// The table that it was meant for.
  let table: String
  let rejection: Rejection

  /// What the budget counts for it: the record here and its copy in the producer, with headers and what each costs.
  var bytes: Int {
    2048 + 2 * ((record.key?.count ?? 0) + (record.value?.count ?? 0))
      + record.headers.reduce(0) { $0 + 128 + 2 * ($1.name.utf8.count + ($1.value?.count ?? 0)) }
  }

  /// The reason as Kafka headers, after the record's own.
  var reasonHeaders: [(name: String, value: String)] {
    var headers = [
      ("sinkctl.topic", record.topic),
      ("sinkctl.partition", String(record.partition)),
      ("sinkctl.offset", String(record.offset)),
      ("sinkctl.timestamp", String(record.timestampMilliseconds)),
      ("sinkctl.table", table),
      ("sinkctl.reason", rejection.reason.rawValue),
      ("sinkctl.message", rejection.message),
    ]
    if let column = rejection.column { headers.append(("sinkctl.column", column)) }
    if let type = rejection.expectedType { headers.append(("sinkctl.expected_type", type)) }
    if let value = rejection.value { headers.append(("sinkctl.value", value)) }
    return headers
  }
}
