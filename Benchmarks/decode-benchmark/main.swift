import Glibc
import SinkBytes

// What one record costs from its bytes to 13 typed columns: the same record as Benchmarks/end-to-end. Benchmarks/decode
// builds and runs it.
@testable import ClickHouseClient
@testable import Pipeline

let columns: [(String, String)] = [
  ("id", "UInt64"), ("user_id", "UInt32"), ("session", "UUID"), ("event", "LowCardinality(String)"),
  ("url", "String"), ("referrer", "String"), ("country", "LowCardinality(String)"),
  ("device", "LowCardinality(String)"), ("duration_ms", "UInt32"), ("price", "Decimal(9, 2)"), ("score", "Float64"),
  ("is_new", "UInt8"), ("ts", "DateTime64(3, 'UTC')"),
]

/// SplitMix64: the same records for everybody.
struct Generator: RandomNumberGenerator {
  var state: UInt64 = 7

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ bound: UInt64) -> UInt64 { next() % bound }
  mutating func hex(_ digits: Int) -> String { padded(String(next(), radix: 16), digits) }

  /// Decimal, with zeros in front.
  mutating func number(_ bound: UInt64, _ digits: Int) -> String { padded("\(below(bound))", digits) }

  private func padded(_ text: String, _ digits: Int) -> String {
    let zeros = String(repeating: "0", count: max(0, digits - text.count))
    return zeros + text.suffix(digits)
  }
}

func record(_ number: Int, _ random: inout Generator) -> String {
  let session = "\(random.hex(8))-\(random.hex(4))-4\(random.hex(3))-a\(random.hex(3))-\(random.hex(12))"
  let event = ["page_view", "click", "purchase", "scroll"].randomElement(using: &random)!
  let referrer = ["", "https://search.example/", "https://mail.example/inbox"].randomElement(using: &random)!
  let country = ["DE", "FR", "US", "JP", "BR"].randomElement(using: &random)!
  let device = ["mobile", "desktop"].randomElement(using: &random)!
  let time = "\(random.number(24, 2)):\(random.number(60, 2)):\(random.number(60, 2)).\(random.number(1000, 3))"
  return
    #"{"id":\#((1 << 40) + number),"user_id":\#(random.below(1 << 31)),"session":"\#(session)","event":"\#(event)","#
    + #""url":"https://shop.example/products/\#(random.below(1_000_000))?ref=\#(random.below(1000))","#
    + #""referrer":"\#(referrer)","country":"\#(country)","device":"\#(device)","#
    + #""duration_ms":\#(random.below(600_000)),"price":\#(Double(random.below(100_000)) / 100),"#
    + #""score":\#(Double(random.below(1_000_000)) / 1_000_000),"is_new":\#(random.below(2)),"#
    + #""ts":"2026-11-24T\#(time)Z"}"#
}

func makePlan() throws -> RecordPlan {
  let described = try columns.map { ColumnDescription(name: $0.0, type: try ColumnType.parse($0.1)) }
  let table = TableDescription(name: try TableName("bench"), engine: "MergeTree", columns: described)
  let server = ServerTraits(zone: "UTC", nullAsDefault: true, times: .wide)
  return try RecordPlan.resolve(
    table: table, mapping: MappingConfiguration(), zones: ["UTC": .utc], server: server
  ).get()
}

func seconds() -> Double {
  var time = timespec()
  unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func run(_ rounds: Int, _ recordCount: Int, isSpaced: Bool, withTransforms: Bool) throws {
  var random = Generator()
  var bytes: [UInt8] = []
  var ends = [0]
  for number in 0..<recordCount {
    let text = record(number, &random)
    bytes += Array((isSpaced ? text.replacing(",\"", with: ", \"").replacing("\":", with: "\": ") : text).utf8)
    ends.append(bytes.count)
  }
  let plan = try makePlan()
  var decoder = RecordDecoder(plan: plan)
  var block = Block(layout: plan.layout)
  var rows = 0
  let size = bytes.count / recordCount
  func measure(_ what: String, _ step: (UnsafeRawBufferPointer) throws -> Void) rethrows {
    var best = Double.infinity
    for _ in 0..<rounds {
      let start = seconds()
      try unsafe bytes.withUnsafeBytes { all in
        for index in 0..<recordCount {
          try unsafe step(UnsafeRawBufferPointer(rebasing: all[ends[index]..<ends[index + 1]]))
        }
      }
      best = min(best, seconds() - start)
    }
    let nanoseconds = Int(best / Double(recordCount) * 1e9)
    print("\(what): \(nanoseconds) ns a record of \(size) bytes (best of \(rounds) rounds of \(recordCount))")
  }
  func decode(_ value: UnsafeRawBufferPointer) {
    guard case .row = unsafe decoder.append(value: value, to: &block) else { fatalError("a record was refused") }
    rows += 1
    if block.rows == recordCount { block.removeAll() }
  }
  unsafe measure("decode") { unsafe decode($0) }
  guard withTransforms else { return }

  let transforms: [any Transform] = [Mask(column: "referrer")]
  var rewritten = ByteBuffer()
  try unsafe measure("transform, nothing changed") { value in
    var fields = unsafe try RecordFields(bytes: [UInt8](value), topic: "t", partition: 0, offset: 0)
    guard try [any Transform]([Mask(column: "nobody")]).applyAll(to: &fields) == .keep else { return }
    unsafe decode(value)
  }
  try unsafe measure("transform, one field changed") { value in
    var fields = unsafe try RecordFields(bytes: [UInt8](value), topic: "t", partition: 0, offset: 0)
    guard try transforms.applyAll(to: &fields) == .keep else { return }
    rewritten.removeAll()
    fields.write(to: &rewritten)
    unsafe rewritten.withUnsafeBytes { unsafe decode($0) }
  }
  try unsafe measure("a call of a transform that looks at nothing") { _ in
    var fields = empty
    _ = try nothing.applyAll(to: &fields)
  }
}

struct Mask: Transform {
  let column: String

  func apply(to record: inout RecordFields) throws(Rejection) -> Verdict {
    if record[column] != nil { record[column] = .string("***") }
    return .keep
  }
}

struct Nothing: Transform {
  func apply(to record: inout RecordFields) throws(Rejection) -> Verdict { .keep }
}

let nothing: [any Transform] = [Nothing()]
let empty = try RecordFields(json: "{}")
let arguments = CommandLine.arguments
try run(
  arguments.count > 1 ? Int(arguments[1]) ?? 50 : 50, 20_000, isSpaced: arguments.contains("spaces"),
  withTransforms: arguments.contains("transforms"))
