/// Functions of ClickHouse whose result is not settled by their arguments: two attempts with the same row may differ.
enum MovingFunction {
  private static let names: Set<String> = [
    "now", "now64", "nowinblock", "nowinblock64", "today", "yesterday", "curdate", "current_date", "current_timestamp",
    "utctimestamp", "utc_timestamp", "localtime", "localtimestamp", "blocknumber", "rownumberinblock",
    "rownumberinallblocks", "runningdifference", "neighbor", "hostname", "fullhostname", "fqdn", "uptime", "queryid",
    "initialqueryid", "serveruuid", "getsetting",
  ]
  /// `rand64`, `generateUUIDv4`, `dictGetString`, …: dictionaries change.
  private static let families = ["rand", "generate", "dictget", "joinget"]

  /// The first call of one in an expression.
  static func first(in expression: String) -> String? {
    var word: [UInt8] = []
    for byte in expression.utf8 {
      if isWordByte(byte) {
        word.append(byte)
        continue
      }
      if byte == UInt8(ascii: "("), !word.isEmpty {
        let name = String(decoding: word, as: UTF8.self)
        let lower = name.lowercased()
        if names.contains(lower) || families.contains(where: lower.hasPrefix) { return name }
      }
      word = []
    }
    return nil
  }

  /// Whether an expression names a column, not merely another that holds its letters.
  static func mentions(_ column: String, in expression: String) -> Bool {
    let (text, wanted) = (Array(expression.utf8), Array(column.utf8))
    guard !wanted.isEmpty, text.count >= wanted.count else { return false }
    for start in 0...(text.count - wanted.count) where text[start..<start + wanted.count].elementsEqual(wanted) {
      let end = start + wanted.count
      if start > 0, isWordByte(text[start - 1]) { continue }
      if end < text.count, isWordByte(text[end]) { continue }
      return true
    }
    return false
  }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
      true
    default: false
    }
  }
}
