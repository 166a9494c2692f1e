internal import KafkaClient
internal import Pipeline

/// `offsets` and `recover` for machines. The names hold.
enum OffsetsJSON {
  static func text(_ offsets: PipelineOffsets) -> String {
    var json = JSONText(isSpread: true)
    json.object { json in
      json.field("group", offsets.group)
      group(offsets.membership, &json)
      json.field("lag", Int(offsets.lag))
      json.field("partitions") { json in
        for partition in offsets.partitions { json.element { json in fields(partition, &json) } }
      }
      json.field("notes") { json in for note in offsets.notes { json.element(note) } }
    }
    return json.text
  }

  static func text(_ plan: OffsetPlan, isWritten: Bool) -> String {
    var json = JSONText(isSpread: true)
    json.object { json in
      json.field("group", plan.group)
      group(plan.membership, &json)
      json.field("written", isWritten)
      json.field("changes") { json in
        for step in plan.steps {
          json.element { json in
            place(step.partition, &json)
            json.field("committed", step.before.committed.map { Int($0) })
            json.field("offset", Int(step.offset))
            json.field("never_read", Int(step.skipped))
            json.field("read_again", Int(step.again))
            blocks(step.blocks, &json)
            json.field("remarks") { json in for remark in step.remarks { json.element(remark) } }
          }
        }
      }
      for (name, stays) in [("untouched", plan.untouched), ("refused", plan.refused)] {
        json.field(name) { json in
          for stay in stays {
            json.element { json in
              place(stay.partition, &json)
              json.field("reason", stay.reason)
              blocks(stay.blocks, &json)
            }
          }
        }
      }
      json.field("notes") { json in for note in plan.notes { json.element(note) } }
    }
    return json.text
  }

  private static func group(_ group: KafkaAdmin.Group?, _ json: inout JSONText) {
    json.field("state", group?.state.rawValue)
    json.field("members") { json in
      for member in group?.members ?? [] {
        json.element { json in
          json.field("id", member.id)
          json.field("instance_id", member.instanceID)
          json.field("client_id", member.clientID)
          json.field("host", member.host)
          json.field("partitions") { json in for partition in member.partitions { json.element(partition.description) }
          }
        }
      }
    }
  }

  private static func place(_ partition: TopicPartition, _ json: inout JSONText) {
    json.field("topic", partition.topic)
    json.field("partition", Int(partition.partition))
  }

  private static func fields(_ partition: PartitionOffsets, _ json: inout JSONText) {
    place(partition.partition, &json)
    json.field("table", partition.table)
    json.field("delivery", partition.delivery.rawValue)
    json.field("committed", partition.committed.map { Int($0) })
    json.field("commit", partition.commit.rawValue)
    json.field("metadata", partition.metadata)
    json.field("log_start", partition.logStart.map { Int($0) })
    json.field("log_end", partition.logEnd.map { Int($0) })
    json.field("lag", partition.lag.map { Int($0) })
    json.field("pending") { json in
      for block in partition.pending { json.element { json in fields(block, &json) } }
    }
    json.field("done") { json in
      for range in partition.done {
        json.element { json in
          json.field("first", Int(range.lowerBound))
          json.field("last", Int(range.upperBound))
        }
      }
    }
    let trouble = partition.trouble.map { ($0.code, OffsetsText.words($0, partition)) }
    json.field("trouble", trouble?.0)
    json.field("message", trouble?.1)
  }

  private static func fields(_ block: PendingBlock, _ json: inout JSONText) {
    json.field("first", Int(block.offsets.lowerBound))
    json.field("last", Int(block.offsets.upperBound))
    json.field("rows", block.rows)
    json.field("token", block.token)
    json.field("declared_at", block.declaredAt.map { Int($0) })
    json.field("age_seconds", block.age.map { Int($0.components.seconds) })
    json.field("window_left_seconds", block.windowLeft.map { Int($0.components.seconds) })
    json.field("other_mapping", block.isOfOtherMapping)
    json.field("counted", block.isCounted)
    json.field("dead_letter", block.isDeadLetter)
    json.field("parts", block.parts)
    json.field("shared_with") { json in for partition in block.others { json.element(partition.description) } }
  }

  private static func blocks(_ blocks: [BlockPlan], _ json: inout JSONText) {
    json.field("blocks") { json in
      for plan in blocks {
        json.element { json in
          fields(plan.block, &json)
          json.field("found", plan.found?.table)
          json.field("found_dead_letters", plan.found?.deadLetters)
          json.field("views_in_doubt", plan.found.map { $0.hasViews && $0.table > 0 } ?? false)
          let (outcome, lost, doubled) = plan.outcome.parts
          json.field("outcome", outcome)
          json.field("lost_at_most", lost)
          json.field("doubled_at_most", doubled)
        }
      }
    }
  }
}

extension PartitionOffsets.Trouble {
  fileprivate var code: String {
    switch self {
    case .foreignCommit: "foreign_commit"
    case .lostToRetention: "lost_to_retention"
    case .beyondLog: "beyond_log"
    case .unknown: "unknown"
    }
  }
}

extension BlockPlan.Outcome {
  fileprivate var parts: (String, lost: Int?, doubled: Int?) {
    switch self {
    case .settled: ("settled", 0, 0)
    case .left: ("left", nil, nil)
    case .undecided(let lost, let doubled): ("undecided", lost, doubled)
    case .taken(let lost): ("taken_as_landed", lost, 0)
    case .again(let doubled): ("inserted_again", 0, doubled)
    case .lost(let count): ("lost", count, 0)
    case .givenUp: ("given_up", nil, nil)
    }
  }
}
