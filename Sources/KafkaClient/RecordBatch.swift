internal import CRdKafka

/// What one poll handed over: records in the order of each partition, in librdkafka's own memory, which goes back when
/// the batch ends. Only the consumer's thread makes one, and lends it to `ConsumerHandler.records`.
@safe public struct RecordBatch: ~Copyable {
  typealias Messages = UnsafeMutablePointer<UnsafeMutablePointer<rd_kafka_message_t>?>

  public let count: Int
  private let messages: Messages
  /// Told apart from the addresses of an earlier handle's topics by the upper 16 bits, which no address uses.
  private let topicHandleTag: UInt

  /// Takes over `count` messages without errors; the array itself stays the caller's.
  init(adopting messages: Messages, count: Int, topicHandleTag: UInt) {
    unsafe self.messages = messages
    self.count = count
    self.topicHandleTag = topicHandleTag
  }

  deinit {
    for index in 0..<count { unsafe rd_kafka_message_destroy(messages[index]) }
  }

  public subscript(index: Int) -> RecordView {
    @_lifetime(borrow self)
    get {
      precondition(index >= 0 && index < count, "record \(index) of a batch of \(count)")
      let message = unsafe messages[index].unsafelyUnwrapped
      return unsafe RecordView(message, topicHandleTag: topicHandleTag, of: self)
    }
  }
}
