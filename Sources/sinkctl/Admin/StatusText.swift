internal import ClickHouseClient
internal import KafkaClient
internal import Pipeline

/// `/status` and what scripts read: the pipeline's status as JSON. The names hold.
enum StatusText {
  static func json(_ status: PipelineStatus, of configuration: PipelineConfiguration, startedAt: Int64) -> String {
    var json = JSONText(isSpread: true)
    json.object { json in
      json.field("version", VersionCommand.version)
      json.field("started_at", Timestamp.text(startedAt))
      json.field("group", configuration.kafka.group)
      json.field("instance_id", configuration.kafka.instanceID)
      json.field("phase", status.phase.rawValue)
      json.field("delivery", status.delivery?.guarantee.rawValue)
      json.field("exactly_once_needs") { json in
        for reason in status.delivery?.reasons ?? [] { json.element(reason) }
      }
      json.field("lag", Int(status.lag))
      json.field("records_received", status.recordsReceived)
      json.field("rows_inserted", status.rowsInserted)
      json.field("tombstones", status.tombstones)
      json.field("records_filtered", status.recordsFiltered)
      json.field("dead_letters", status.deadLetters)
      json.field("inserts_in_flight", status.insertsInFlight)
      json.field("blocks_waiting", status.blocksWaiting)
      json.field("memory_used_bytes", status.memoryUsedBytes)
      json.field("memory_limit_bytes", status.memoryLimitBytes)
      json.field("paused", status.isPaused)
      json.field("alarms") { json in
        for alarm in status.alarms {
          json.element { json in
            json.field("table", alarm.table)
            json.field("message", alarm.message)
          }
        }
      }
      json.field("routes") { json in
        for route in configuration.routes {
          json.element { json in
            json.field("topics") { json in
              for topic in route.topics { json.element(topic) }
            }
            json.field("table", route.table)
            json.field("deduplication_horizon_seconds", horizon(of: route.table, status))
            json.field("delivery", (route.delivery ?? status.delivery?.guarantee)?.rawValue)
          }
        }
      }
      json.field("partitions") { json in
        for partition in status.partitions {
          json.element { json in
            json.field("topic", partition.topic)
            json.field("partition", Int(partition.partition))
            json.field("frontier", Int(partition.frontier))
            json.field("position", Int(partition.position))
            json.field("committed", partition.committed.map { Int($0) })
            json.field("end", partition.end.map { Int($0) })
            json.field("lag", partition.lag.map { Int($0) })
          }
        }
      }
    }
    return json.text
  }

  private static func horizon(of table: String, _ status: PipelineStatus) -> Int? {
    let name = (try? TableName(table))?.description ?? table
    return status.deduplicationHorizons[name].map { Int($0.components.seconds) }
  }
}
