import ClickHouseClient
import KafkaClient
import Pipeline
import SinkTelemetry

let a = CommandLine.arguments
let log: LogHandler = { e in print(e.level, e.source, e.message, e.metadata.map { "\($0.key)=\($0.value)" }.joined(separator: " ")) }
var kafka = KafkaConsumerConfiguration(brokers: [a[1]], group: a[2])
kafka.logger = Logger(source: "Kafka", level: .info, handler: log)
var ch = ClickHouseConfiguration(url: a[3])
var route = RouteConfiguration(topics: [a[4]], table: a[5])
if a.count > 7 { route.deadLetters = a[7] == "skip" ? .skip : .topic(a[7]) }
let p = try Pipeline(PipelineConfiguration(kafka: kafka, clickhouse: ch, routes: [route], logger: Logger(source: "P", level: .debug, handler: log)))
let t = Task { do { try await p.run() } catch { print("ended:", error) } }
let want = Int(a[6])!
while true {
  try await Task.sleep(for: .milliseconds(500))
  let s = p.status
  print(s.phase, s.recordsReceived, s.rowsInserted, "dl", s.deadLetters, "lag", s.lag, "mem", s.memoryUsedBytes >> 20, "flight", s.insertsInFlight, s.blocksWaiting, s.partitions.map { "\($0.partition):\($0.frontier)/\($0.committed ?? -1)" })
  if s.rowsInserted + s.deadLetters + s.tombstones >= want || s.phase == .stopped { break }
}
t.cancel()
await t.value
print("done", p.status.partitions.map { "\($0.partition):\($0.frontier)/\($0.committed ?? -1)" })
