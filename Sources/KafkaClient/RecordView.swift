internal import CRdKafka

/// One record of a batch, borrowed: it cannot outlive the batch, and reading it copies nothing.
@frozen @safe public struct RecordView: ~Escapable {
  /// Stands for the topic: equal for records of one topic, cheap to compare, never used for another topic during the life
  /// of the `KafkaConsumer`. After `lost` of everything (a renewed handle) the same topic has another one.
  public let topicHandle: UInt
  public let offset: Int64
  public let partition: Int32
  @usableFromInline let keyStart: UnsafeRawPointer?
  @usableFromInline let keyCount: Int
  @usableFromInline let valueStart: UnsafeRawPointer?
  @usableFromInline let valueCount: Int
  @usableFromInline let message: UnsafeRawPointer

  @_lifetime(borrow batch)
  init(
    _ message: UnsafePointer<rd_kafka_message_t>, topicHandleTag: UInt, of batch: borrowing RecordBatch
  ) {
    topicHandle = unsafe UInt(bitPattern: message.pointee.rkt) | topicHandleTag
    offset = unsafe message.pointee.offset
    partition = unsafe message.pointee.partition
    unsafe keyStart = UnsafeRawPointer(message.pointee.key)
    keyCount = unsafe message.pointee.key_len
    unsafe valueStart = UnsafeRawPointer(message.pointee.payload)
    valueCount = unsafe message.pointee.len
    unsafe self.message = UnsafeRawPointer(message)
  }

  /// nil is Kafka's null, which is not the same as empty.
  public var key: RawSpan? {
    @_lifetime(copy self)
    @inlinable get {
      guard let start = unsafe keyStart else { return nil }
      let span = unsafe RawSpan(_unsafeStart: start, byteCount: keyCount)
      return unsafe _overrideLifetime(span, copying: self)
    }
  }

  /// nil for a tombstone, which is not the same as empty.
  public var value: RawSpan? {
    @_lifetime(copy self)
    @inlinable get {
      guard let start = unsafe valueStart else { return nil }
      let span = unsafe RawSpan(_unsafeStart: start, byteCount: valueCount)
      return unsafe _overrideLifetime(span, copying: self)
    }
  }

  /// As `key`, for a decoder that keeps raw cursors. Valid as long as the batch.
  @unsafe public var keyBytes: UnsafeRawBufferPointer? {
    @inlinable get {
      guard let start = unsafe keyStart else { return nil }
      return unsafe UnsafeRawBufferPointer(start: start, count: keyCount)
    }
  }

  /// As `value`, for a decoder that keeps raw cursors. Valid as long as the batch.
  @unsafe public var valueBytes: UnsafeRawBufferPointer? {
    @inlinable get {
      guard let start = unsafe valueStart else { return nil }
      return unsafe UnsafeRawBufferPointer(start: start, count: valueCount)
    }
  }
}

extension RecordView {
  private var native: UnsafePointer<rd_kafka_message_t> {
    unsafe message.assumingMemoryBound(to: rd_kafka_message_t.self)
  }

  /// Since 1970-01-01 UTC; -1 where there is none.
  public var timestampMilliseconds: Int64 { unsafe rd_kafka_message_timestamp(native, nil) }

  public var timestampType: TimestampType {
    var type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
    _ = unsafe rd_kafka_message_timestamp(native, &type)
    return TimestampType(rawValue: UInt8(truncatingIfNeeded: type.rawValue)) ?? .none
  }

  /// Allocates: once per topic, not per record (see `topicHandle`).
  public var topic: String { unsafe String(cString: rd_kafka_topic_name(native.pointee.rkt)) }

  /// The topic's name, borrowed.
  public var topicBytes: RawSpan {
    @_lifetime(copy self)
    get {
      let name = unsafe rd_kafka_topic_name(native.pointee.rkt)!
      let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(name), byteCount: nativeLength(name))
      return unsafe _overrideLifetime(span, copying: self)
    }
  }

  public var topicPartition: TopicPartition { TopicPartition(topic, partition) }

  /// Calls `body` with the name and the value (nil is Kafka's null) of each header, in the producer's order. librdkafka
  /// parses them at the first call, so a record whose headers nobody asks for does not pay.
  public func forEachHeader<Failure: Error>(
    _ body: (_ name: RawSpan, _ value: RawSpan?) throws(Failure) -> Void
  ) throws(Failure) {
    var headers: OpaquePointer?
    let status = unsafe rd_kafka_message_headers(native, &headers)
    guard status == RD_KAFKA_RESP_ERR_NO_ERROR, let headers = unsafe headers else { return }
    var index = 0
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var size = 0
    while unsafe rd_kafka_header_get_all(headers, index, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR {
      index += 1
      guard let name = unsafe name else { continue }
      let nameSpan = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(name), byteCount: nativeLength(name))
      if let value = unsafe value {
        try body(nameSpan, unsafe RawSpan(_unsafeStart: value, byteCount: size))
      } else {
        try body(nameSpan, nil)
      }
    }
  }

  /// A record with bytes of its own.
  public func copy() -> Record {
    var headers: [Record.Header] = []
    forEachHeader { name, value in
      var bytes: [UInt8]?
      if let value { bytes = [UInt8](value) }
      headers.append(Record.Header(String(decoding: [UInt8](name), as: UTF8.self), bytes))
    }
    return unsafe Record(
      topic: topic, partition: partition, offset: offset, timestampMilliseconds: timestampMilliseconds,
      timestampType: timestampType, key: keyBytes.map { unsafe [UInt8]($0) },
      value: valueBytes.map { unsafe [UInt8]($0) },
      headers: headers)
  }
}

extension [UInt8] {
  fileprivate init(_ span: RawSpan) { self = unsafe span.withUnsafeBytes { unsafe [UInt8]($0) } }
}

private func nativeLength(_ text: UnsafePointer<CChar>) -> Int {
  var count = 0
  while unsafe text[count] != 0 { count += 1 }
  return count
}
