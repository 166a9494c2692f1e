internal import SinkBytes

/// What ClickHouse knows an insert by (`insert_deduplication_token`): it stores a block once for each token that it
/// remembers, and never compares the content. So a token names one range of one log and everything that places its rows.
struct DeduplicationToken: Sendable, Hashable, CustomStringConvertible {
  let high: UInt64
  let low: UInt64

  init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// What the tokens of one partition share.
  struct Origin: Sendable, Equatable {
    let topic: String
    let partition: Int32
    /// Database and table.
    let table: String
  }

  /// - Parameters:
  ///   - lineage: tells this log from another one under the same name.
  ///   - isDead: the range's records go to the dead letters, whatever the decoder says of them.
  init(lineage: UInt64, origin: Origin, first: Int64, last: Int64, isDead: Bool) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(64 + origin.topic.utf8.count + origin.table.utf8.count)
    // The names come first, each with its length before it: no two different origins spell the same bytes.
    for name in [origin.topic, origin.table] {
      Radix32.append(UInt64(name.utf8.count), to: &bytes)
      bytes.append(UInt8(ascii: ":"))
      bytes.append(contentsOf: name.utf8)
    }
    for number in [
      lineage, UInt64(bitPattern: Int64(origin.partition)), UInt64(bitPattern: first), UInt64(bitPattern: last),
      isDead ? 1 : 0,
    ] {
      Radix32.append(number, to: &bytes)
      bytes.append(UInt8(ascii: ":"))
    }
    let hash = unsafe bytes.withUnsafeBytes { unsafe CityHash128.hash($0) }
    (high, low) = (hash.high, hash.low)
  }

  /// Of a block that holds several partitions' ranges: their tokens, had each been a block of its own, in one.
  init(combining tokens: [DeduplicationToken]) {
    var bytes: [UInt8] = []
    for token in tokens { token.append(to: &bytes) }
    let hash = unsafe bytes.withUnsafeBytes { unsafe CityHash128.hash($0) }
    (high, low) = (hash.high, hash.low)
  }

  /// What follows the token where a block's dead letters go to a table.
  /// - Parameter known: offsets of the block that are there already, and not sent again.
  static func deadLetterSuffix(known: Set<Int64>) -> String {
    guard !known.isEmpty else { return "-dead" }
    let hash = unsafe known.sorted().withUnsafeBytes { unsafe CityHash128.hash($0) }
    return "-dead-" + DeduplicationToken(high: hash.high, low: hash.low).description
  }

  /// 26 characters of 0–9 and a–v.
  var description: String {
    var bytes: [UInt8] = []
    append(to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  func append(to bytes: inout [UInt8]) {
    Radix32.append(high, width: Radix32.maxDigits, to: &bytes)
    Radix32.append(low, width: Radix32.maxDigits, to: &bytes)
  }
}

/// Numbers with the digits 0–9 and a–v: compact, and plain ASCII.
enum Radix32 {
  /// Digits of the largest `UInt64`.
  static let maxDigits = 13

  static func append(_ number: UInt64, width: Int = 1, to bytes: inout [UInt8]) {
    let digits = max(width, (64 - number.leadingZeroBitCount + 4) / 5)
    var shift = 5 * (digits - 1)
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift)) & 31
      bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      shift -= 5
    }
  }

  /// Reads digits up to the first other byte.
  /// - Returns: nil without a digit, or with a number beyond 64 bits.
  static func read(_ bytes: [UInt8], _ index: inout Int) -> UInt64? {
    let start = index
    var number: UInt64 = 0
    while index < bytes.count {
      let byte = bytes[index]
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "v"): digit = byte - UInt8(ascii: "a") + 10
      default: return index == start ? nil : number
      }
      guard number >> 59 == 0 else { return nil }
      number = number << 5 | UInt64(digit)
      index += 1
    }
    return index == start ? nil : number
  }
}
