internal import KafkaClient
internal import SinkBytes

/// A value of a JSON field, as a transform sees it.
public enum FieldValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// As it is written: nothing is lost between 64-bit integers, decimals and doubles.
  case number(String)
  case string(String)
  /// An array or object, as JSON text.
  case json(String)

  public static func integer(_ value: some FixedWidthInteger) -> FieldValue { .number("\(value)") }

  /// JSON has no word for numbers that are not finite: they become the strings that ClickHouse reads.
  public static func double(_ value: Double) -> FieldValue {
    value.isFinite ? .number("\(value)") : .string(value.isNaN ? "nan" : value < 0 ? "-inf" : "inf")
  }

  public var text: String? {
    if case .string(let text) = self { text } else { nil }
  }

  /// nil where it is no integer, or beyond 64 bits.
  public var int64: Int64? {
    if case .number(let text) = self { Int64(text) } else { nil }
  }
}

/// A record that a transform may change: the fields of its JSON object, in their order, and where it came from.
public struct RecordFields: Sendable {
  public let topic: String
  public let partition: Int32
  public let offset: Int64
  /// Since 1970-01-01 UTC; -1 where there is none.
  public let timestampMilliseconds: Int64
  public let key: [UInt8]?
  public private(set) var names: [String] = []
  private var values: [FieldValue] = []

  init(_ record: borrowing RecordView) throws(Rejection) {
    topic = record.topic
    partition = record.partition
    offset = record.offset
    timestampMilliseconds = record.timestampMilliseconds
    key = unsafe record.keyBytes.map { unsafe [UInt8]($0) }
    guard let value = unsafe record.valueBytes else { preconditionFailure("a tombstone has no fields") }
    try unsafe parse(value)
  }

  /// Fields without a record, to test a transform with.
  /// - Throws: where the text is no JSON object.
  public init(json: String, topic: String = "", partition: Int32 = 0, offset: Int64 = 0) throws(Rejection) {
    self.topic = topic
    self.partition = partition
    self.offset = offset
    timestampMilliseconds = -1
    key = nil
    let bytes = Array(json.utf8)
    let span = unsafe bytes.span.bytes
    try unsafe span.withUnsafeBytes { (bytes) throws(Rejection) in try unsafe parse(bytes) }
  }

  /// A field by its name, at the top of the record; nil where there is none. Setting nil takes the field away.
  public subscript(name: String) -> FieldValue? {
    get { names.firstIndex(of: name).map { values[$0] } }
    set {
      switch (names.firstIndex(of: name), newValue) {
      case (let index?, let value?): values[index] = value
      case (let index?, nil):
        names.remove(at: index)
        values.remove(at: index)
      case (nil, let value?):
        names.append(name)
        values.append(value)
      case (nil, nil): break
      }
    }
  }

  /// The record as a JSON object.
  public var json: String {
    var buffer = ByteBuffer()
    write(to: &buffer)
    return unsafe buffer.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }

  private mutating func parse(_ bytes: UnsafeRawBufferPointer) throws(Rejection) {
    var cursor = unsafe JSONCursor(bytes)
    do throws(JSONError) {
      try cursor.expect(0x7B)
      if cursor.peek() == 0x7D {
        cursor.pass()
      } else {
        repeat {
          let name = Self.text(try cursor.string())
          try cursor.expect(0x3A)
          let value = try Self.value(&cursor)
          names.append(name)
          values.append(value)
        } while try cursor.more(until: 0x7D)
      }
      try cursor.finish()
    } catch {
      throw Rejection(
        reason: error == .badUTF8 ? .invalidUTF8 : .invalidJSON,
        message: "the record is not a JSON object: \(error.words)")
    }
    if Set(names).count != names.count {
      let twice = names.first { name in names.count { $0 == name } > 1 } ?? ""
      throw Rejection(reason: .duplicateKey, value: twice, message: "the field \(twice) stands twice in the record")
    }
  }

  private static func value(_ cursor: inout JSONCursor) throws(JSONError) -> FieldValue {
    let byte = cursor.peek()
    let start = cursor.offset
    if byte == 0x22 { return .string(text(try cursor.string())) }
    try cursor.skipValue()
    let text = unsafe String(decoding: cursor.bytes(from: start), as: UTF8.self)
    switch byte {
    case 0x74: return .bool(true)
    case 0x66: return .bool(false)
    case 0x6E: return .null
    case 0x7B, 0x5B: return .json(text)
    default: return .number(text)
    }
  }

  private static func text(_ string: JSONString) -> String {
    guard string.hasEscapes else { return unsafe String(decoding: string.bytes, as: UTF8.self) }
    var buffer = ByteBuffer()
    JSONCursor.unescape(string, into: &buffer)
    return unsafe buffer.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }

  func write(to buffer: inout ByteBuffer) {
    buffer.append(UInt8(ascii: "{"))
    for (index, name) in names.enumerated() {
      if index > 0 { buffer.append(UInt8(ascii: ",")) }
      buffer.append(jsonString: name)
      buffer.append(UInt8(ascii: ":"))
      switch values[index] {
      case .null: buffer.append(utf8: "null")
      case .bool(let value): buffer.append(utf8: value ? "true" : "false")
      case .number(let text), .json(let text): buffer.append(utf8: text)
      case .string(let text): buffer.append(jsonString: text)
      }
    }
    buffer.append(UInt8(ascii: "}"))
  }
}
