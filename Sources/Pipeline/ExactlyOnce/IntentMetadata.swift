/// What we write beside a partition's committed offset: whose it is, and which blocks are on their way.
///
/// Printable ASCII, at most 4096 bytes, which a broker takes by default (`offset.metadata.max.bytes`); some 300 as a rule,
/// more while blocks that the server refuses for their data are halved. Numbers have the digits 0–9 and a–v:
///
///     s1 <lineage> <nonce> <fingerprint>{ <last>:<rows>:<declared>:<token>[d|*<parts>]| <last>x}
///
/// The blocks follow each other without a gap from the committed offset on; `last` counts from the block's own first
/// offset; `declared` 0 is a block that nobody has sent yet; `d` marks dead letters; `*` a block that holds ranges of so
/// many partitions; `x` what is accounted for already: it must never be inserted again. A lineage of 0 is none. Everything
/// else, an empty text too, is a commit that we did not write.
struct IntentMetadata: Sendable, Equatable {
  static let maxBytes = 4096

  /// Nothing is pending, and whoever goes on draws a lineage: what at least once and `offsets reset` write.
  static let nothingPending = "s1 0 0 0"

  /// Tells a topic from another one under the same name: a hash of the cluster's and the topic's ids where they are
  /// known, and a number drawn when the partition had no commit, carried on from commit to commit.
  var lineage: UInt64
  /// Drawn for each assignment of a partition: no two claims ever write the same text.
  var nonce: UInt64
  /// Of everything that shapes or places rows: columns and their types, mapping, transforms, table, partition key.
  var fingerprint: UInt64
  var intents: [Intent]

  /// nil where the intents do not fit.
  func encoded() -> String? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(64 + 48 * intents.count)
    bytes += [UInt8(ascii: "s"), UInt8(ascii: "1")]
    for number in [lineage, nonce, fingerprint] {
      bytes.append(UInt8(ascii: " "))
      Radix32.append(number, to: &bytes)
    }
    for intent in intents {
      bytes.append(UInt8(ascii: " "))
      Radix32.append(UInt64(intent.last - intent.first), to: &bytes)
      guard !intent.isDone else {
        bytes.append(UInt8(ascii: "x"))
        continue
      }
      bytes.append(UInt8(ascii: ":"))
      Radix32.append(UInt64(intent.rows), to: &bytes)
      bytes.append(UInt8(ascii: ":"))
      Radix32.append(UInt64(max(0, intent.declaredAt ?? 0)), to: &bytes)
      bytes.append(UInt8(ascii: ":"))
      intent.token.append(to: &bytes)
      if intent.isDead { bytes.append(UInt8(ascii: "d")) }
      if intent.isShared {
        bytes.append(UInt8(ascii: "*"))
        Radix32.append(UInt64(intent.parts), to: &bytes)
      }
    }
    return bytes.count <= Self.maxBytes ? String(decoding: bytes, as: UTF8.self) : nil
  }

  init(lineage: UInt64, nonce: UInt64, fingerprint: UInt64, intents: [Intent]) {
    self.lineage = lineage
    self.nonce = nonce
    self.fingerprint = fingerprint
    self.intents = intents
  }

  /// - Parameter offset: the committed one, where the first intent begins.
  /// - Returns: nil for anything that `encoded` does not write.
  init?(_ text: String, offset: Int64) {
    let bytes = Array(text.utf8)
    guard bytes.count <= Self.maxBytes, offset >= 0, bytes.starts(with: [UInt8(ascii: "s"), UInt8(ascii: "1")]) else {
      return nil
    }
    var index = 2
    func skip(_ byte: UInt8) -> Bool {
      guard index < bytes.count, bytes[index] == byte else { return false }
      index += 1
      return true
    }
    var header: [UInt64] = []
    for _ in 0..<3 {
      guard skip(UInt8(ascii: " ")), let number = Radix32.read(bytes, &index) else { return nil }
      header.append(number)
    }
    (lineage, nonce, fingerprint, intents) = (header[0], header[1], header[2], [])
    var first = offset
    while index < bytes.count {
      guard skip(UInt8(ascii: " ")), let length = Radix32.read(bytes, &index), length <= 1 << 48,
        first <= Int64.max >> 1
      else { return nil }
      let last = first + Int64(length)
      guard !skip(UInt8(ascii: "x")) else {
        intents.append(.done(first: first, last: last))
        first = last + 1
        continue
      }
      guard skip(UInt8(ascii: ":")), let rows = Radix32.read(bytes, &index), rows <= length + 1,
        skip(UInt8(ascii: ":")), let declared = Radix32.read(bytes, &index), declared <= 1 << 48,
        skip(UInt8(ascii: ":")), let token = Self.token(bytes, &index)
      else { return nil }
      let isDead = skip(UInt8(ascii: "d"))
      var parts: UInt64 = 1
      if !isDead, skip(UInt8(ascii: "*")) {
        guard let count = Radix32.read(bytes, &index), count > 1, count <= 1 << 32 else { return nil }
        parts = count
      }
      intents.append(
        Intent(
          first: first, last: last, rows: Int(rows), declaredAt: declared == 0 ? nil : Int64(declared), token: token,
          parts: Int(parts), isDead: isDead))
      first = last + 1
    }
  }

  private static func token(_ bytes: [UInt8], _ index: inout Int) -> DeduplicationToken? {
    let digits = Radix32.maxDigits
    guard index + 2 * digits <= bytes.count else { return nil }
    var halves: [UInt64] = []
    for _ in 0..<2 {
      var inner = 0
      let half = Array(bytes[index..<index + digits])
      guard let number = Radix32.read(half, &inner), inner == digits else { return nil }
      halves.append(number)
      index += digits
    }
    return DeduplicationToken(high: halves[0], low: halves[1])
  }
}
