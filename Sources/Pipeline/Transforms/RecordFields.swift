internal import KafkaClient
internal import SinkBytes

/// A record that a transform may change: the fields of its JSON object, in their order, and where it came from.
///
/// A field costs something when it is looked at or set; what nobody touches goes on as the bytes that it came as.
public struct RecordFields: Sendable {
  public let topic: String
  public let partition: Int32
  public let offset: Int64
  /// Since 1970-01-01 UTC; -1 where there is none.
  public let timestampMilliseconds: Int64
  public let key: [UInt8]?

  /// The record as it came.
  private var bytes: [UInt8] = []
  private var entries: [Entry] = []
  /// Whether a transform has set or taken away anything.
  private(set) var isChanged = false

  private struct Entry: Sendable {
    /// Between the quotes, in `bytes`.
    var nameRange: Range<Int>
    /// Where the name is new, or spelled with escapes.
    var name: String?
    var valueRange: Range<Int>
    /// Where the value is new.
    var value: FieldValue?
  }

  init(_ record: borrowing RecordView, topic: String) throws(Rejection) {
    self.topic = topic
    partition = record.partition
    offset = record.offset
    timestampMilliseconds = record.timestampMilliseconds
    key = unsafe record.keyBytes.map { unsafe [UInt8]($0) }
    guard let value = unsafe record.valueBytes else { preconditionFailure("a tombstone has no fields") }
    unsafe bytes = [UInt8](value)
    try parse()
  }

  /// Fields without a record, to test a transform with.
  /// - Throws: where the text is no JSON object.
  public init(json: String, topic: String = "", partition: Int32 = 0, offset: Int64 = 0) throws(Rejection) {
    try self.init(bytes: Array(json.utf8), topic: topic, partition: partition, offset: offset)
  }

  init(bytes: [UInt8], topic: String, partition: Int32, offset: Int64) throws(Rejection) {
    self.topic = topic
    self.partition = partition
    self.offset = offset
    timestampMilliseconds = -1
    key = nil
    self.bytes = bytes
    try parse()
  }

  /// Names of the fields at the top of the record, in their order.
  public var names: [String] { entries.map(name) }

  /// A field by its name, at the top of the record; nil where there is none. Setting nil takes the field away.
  public subscript(name: String) -> FieldValue? {
    get {
      guard let index = index(of: name) else { return nil }
      return entries[index].value ?? value(entries[index].valueRange)
    }
    set {
      guard let newValue else {
        guard let index = index(of: name) else { return }
        entries.remove(at: index)
        isChanged = true
        return
      }
      if let index = index(of: name) {
        entries[index].value = newValue
      } else {
        entries.append(Entry(nameRange: 0..<0, name: name, valueRange: 0..<0, value: newValue))
      }
      isChanged = true
    }
  }

  /// The record as a JSON object.
  public var json: String {
    var buffer = ByteBuffer()
    write(to: &buffer)
    return unsafe buffer.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }

  func write(to buffer: inout ByteBuffer) {
    buffer.append(UInt8(ascii: "{"))
    for (index, entry) in entries.enumerated() {
      if index > 0 { buffer.append(UInt8(ascii: ",")) }
      if entry.nameRange.isEmpty, let name = entry.name {
        buffer.append(jsonString: name)
      } else {
        buffer.append(UInt8(ascii: "\""))
        unsafe buffer.append(bytes.span.bytes.extracting(entry.nameRange))
        buffer.append(UInt8(ascii: "\""))
      }
      buffer.append(UInt8(ascii: ":"))
      switch entry.value {
      case nil: unsafe buffer.append(bytes.span.bytes.extracting(entry.valueRange))
      case .null: buffer.append(utf8: "null")
      case .bool(let value): buffer.append(utf8: value ? "true" : "false")
      case .number(let text), .json(let text): buffer.append(utf8: text)
      case .string(let text): buffer.append(jsonString: text)
      }
    }
    buffer.append(UInt8(ascii: "}"))
  }
}

extension RecordFields {
  private mutating func parse() throws(Rejection) {
    let parsed = unsafe bytes.withUnsafeBytes { bytes -> Result<[Entry], RowFailure> in
      var cursor = unsafe JSONCursor(bytes)
      do throws(JSONError) {
        guard cursor.peek() == 0x7B else {
          try cursor.skipValue()
          try cursor.finish()
          return .failure(RowFailure(.notAnObject))
        }
        let entries = try Self.entries(&cursor)
        try cursor.finish()
        return .success(entries)
      } catch {
        return .failure(RowFailure(syntax: error))
      }
    }
    switch parsed {
    case .success(let found): entries = found
    case .failure(let failure):
      let words = failure.syntax.map { ": \($0.words)" } ?? ""
      throw Rejection(reason: failure.reason, message: failure.reason.words + words)
    }
    if let twice = firstDuplicate() {
      throw Rejection(reason: .duplicateKey, value: twice, message: "the field \(twice) stands twice in the record")
    }
  }

  private static func entries(_ cursor: inout JSONCursor) throws(JSONError) -> [Entry] {
    var entries: [Entry] = []
    entries.reserveCapacity(16)
    cursor.pass()
    if cursor.peek() == 0x7D {
      cursor.pass()
      return entries
    }
    repeat {
      _ = cursor.peek()
      let start = cursor.offset + 1
      let key = try cursor.string()
      let nameRange = start..<cursor.offset - 1
      try cursor.expect(0x3A)
      _ = cursor.peek()
      let valueStart = cursor.offset
      try cursor.skipValue()
      entries.append(
        Entry(
          nameRange: nameRange, name: key.hasEscapes ? text(key) : nil, valueRange: valueStart..<cursor.offset,
          value: nil))
    } while try cursor.more(until: 0x7D)
    return entries
  }

  private func firstDuplicate() -> String? {
    if entries.count > 64 {
      var seen: Set<[UInt8]> = []
      return entries.lazy.map(name).first { !seen.insert(Array($0.utf8)).inserted }
    }
    for (index, entry) in entries.enumerated() {
      for other in entries[..<index] {
        if entry.name == nil, other.name == nil {
          guard entry.nameRange.count == other.nameRange.count,
            bytes[entry.nameRange].elementsEqual(bytes[other.nameRange])
          else { continue }
          return name(entry)
        }
        if name(entry).utf8.elementsEqual(name(other).utf8) { return name(entry) }
      }
    }
    return nil
  }

  private func name(_ entry: Entry) -> String {
    entry.name ?? String(decoding: bytes[entry.nameRange], as: UTF8.self)
  }

  private func index(of name: String) -> Int? {
    let count = name.utf8.count
    return entries.firstIndex { entry in
      // Byte by byte: to a String, one that is spelled with a combining accent is equal.
      if let own = entry.name { return own.utf8.elementsEqual(name.utf8) }
      return entry.nameRange.count == count && bytes[entry.nameRange].elementsEqual(name.utf8)
    }
  }

  /// Of a checked value.
  private func value(_ range: Range<Int>) -> FieldValue {
    switch bytes[range.lowerBound] {
    case 0x22:
      return unsafe bytes[range].withUnsafeBytes { bytes in
        var cursor = unsafe JSONCursor(bytes)
        return .string((try? cursor.string()).map(Self.text) ?? "")
      }
    case 0x74: return .bool(true)
    case 0x66: return .bool(false)
    case 0x6E: return .null
    case 0x7B, 0x5B: return .json(String(decoding: bytes[range], as: UTF8.self))
    default: return .number(String(decoding: bytes[range], as: UTF8.self))
    }
  }

  private static func text(_ string: JSONString) -> String {
    guard string.hasEscapes else { return unsafe String(decoding: string.bytes, as: UTF8.self) }
    var buffer = ByteBuffer()
    JSONCursor.unescape(string, into: &buffer)
    return unsafe buffer.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }
}
