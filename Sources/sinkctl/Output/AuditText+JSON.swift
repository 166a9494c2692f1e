internal import KafkaClient
internal import Pipeline

extension AuditText {
  /// The names hold; docs/AUDIT.md lists them.
  var json: String {
    var json = JSONText(isSpread: true)
    json.object { json in
      json.field("ok", report.isClean)
      json.field("group", configuration.kafka.group)
      Self.write(report.tally, to: &json)
      json.field("notes") { json in
        for note in report.notes { json.element(note) }
      }
      json.field("partitions") { json in
        for partition in report.partitions { json.element { Self.write(partition, to: &$0) } }
      }
    }
    return json.text
  }

  private static func write(_ tally: AuditTally, to json: inout JSONText) {
    json.field("offsets", tally.offsets)
    json.field("rows", tally.rows)
    json.field("dead_letters", tally.deadLetters)
    json.field("skipped", tally.skipped)
    json.field("filtered", tally.filtered)
    json.field("tombstones", tally.tombstones)
    json.field("not_in_log", tally.notInLog)
    json.field("missing", tally.missing)
    json.field("doubled", tally.doubled)
    json.field("surplus", tally.surplus)
    json.field("kept_though_not_in_log", tally.keptThoughNotInLog)
    json.field("elsewhere", tally.elsewhere)
    json.field("repeated_dead_letters", tally.repeatedDeadLetters)
  }

  private static func write(_ partition: AuditReport.Partition, to json: inout JSONText) {
    json.field("topic", partition.topic)
    json.field("partition", Int(partition.partition))
    json.field("table", partition.table)
    json.field("from", Int(partition.range.lowerBound))
    json.field("to", Int(partition.range.upperBound))
    json.field("log_start", Int(partition.logStart))
    json.field("log_end", Int(partition.logEnd))
    json.field("committed", partition.committed.map { Int($0) })
    json.field("rows_below_log", partition.rowsBelowLog)
    write(partition.tally, to: &json)
    json.field("findings") { json in
      for finding in partition.findings + partition.notInLog { json.element { write(finding, to: &$0) } }
    }
    json.field("findings_in_all", partition.findingsInAll + partition.notInLogInAll)
    json.field("notes") { json in
      for note in partition.notes { json.element(note) }
    }
  }

  private static func write(_ finding: AuditFinding, to json: inout JSONText) {
    json.field("kind", finding.code)
    json.field("first", Int(finding.firstOffset))
    json.field("last", Int(finding.lastOffset))
    json.field("offsets", finding.offsets)
    if case .doubled(let rows, let letters) = finding.kind {
      json.field("rows", rows)
      json.field("dead_letters", letters)
    }
  }
}
