/// What a group's leader has given a member, as the classic consumer protocol writes it (`ConsumerProtocolAssignment`):
/// big-endian, version, then topics with their partitions, then what the assignor keeps for itself.
struct GroupAssignment {
  private(set) var partitions: [TopicPartition] = []

  /// - Parameter bytes: none for a member that has been given nothing yet.
  /// - Returns: nil where they end too soon or cannot be one.
  init?(_ bytes: [UInt8]) {
    guard !bytes.isEmpty else { return }
    var rest = bytes[...]
    func number(_ width: Int) -> Int? {
      guard rest.count >= width else { return nil }
      defer { rest = rest.dropFirst(width) }
      return rest.prefix(width).reduce(0) { $0 << 8 | Int($1) }
    }
    guard number(2) != nil, let topics = number(4) else { return nil }
    for _ in 0..<topics {
      guard let length = number(2), rest.count >= length else { return nil }
      let topic = String(decoding: rest.prefix(length), as: UTF8.self)
      rest = rest.dropFirst(length)
      guard let count = number(4), rest.count >= 4 * count else { return nil }
      for _ in 0..<count {
        guard let partition = number(4) else { return nil }
        partitions.append(TopicPartition(topic, Int32(truncatingIfNeeded: partition)))
      }
    }
  }
}
