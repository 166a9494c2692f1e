internal import SinkBytes
internal import SinkThreads

/// Reads one answer: bytes become blocks, blocks become rows, as they are asked for. Used by one task at a time.
final class QueryReader {
  private let client: ClickHouseClient
  private let request: HTTPRequest
  private let flow = AnswerFlow()
  private var transfer: CurlTransfer?
  private var pending = ByteBuffer()
  /// The first byte of `pending` that is not part of a block yet.
  private var position = 0
  private var block: Block?
  private var row = 0
  private var response: HTTPResponse?
  private var isOver = false

  init(_ client: ClickHouseClient, _ request: HTTPRequest) {
    self.client = client
    self.request = request
  }

  deinit { end() }

  func next() async throws(ClickHouseError) -> ClickHouseRow? {
    while !isOver {
      if let found = takeRow() { return found }
      do throws(ClickHouseError) {
        if try readBlock() { continue }
        if let response {
          isOver = true
          try finish(response)
          return nil
        }
        try await receive()
      } catch {
        end()
        throw error
      }
    }
    return nil
  }

  private func takeRow() -> ClickHouseRow? {
    guard let columns = block?.columnCount, let rows = block?.rows, row < rows else { return nil }
    defer { row += 1 }
    guard let layout = block?.layout else { return nil }
    return ClickHouseRow(
      layout: layout, values: (0..<columns).compactMap { block?.value(row: row, column: $0) })
  }

  /// - Returns: false where more bytes are needed, or none are left.
  private func readBlock() throws(ClickHouseError) -> Bool {
    guard position < pending.count else { return false }
    var reader = NativeBlockReader()
    let found = try unsafe pending.withUnsafeBytes { (bytes) throws(ClickHouseError) in
      do throws(ClickHouseError) {
        return try unsafe reader.read(UnsafeRawBufferPointer(rebasing: bytes[position...]))
      } catch {
        // An error's text in the place of a block ends the answer: it is read when all of it is there.
        if unsafe Self.isExceptionText(bytes[position...]) { return nil }
        throw error
      }
    }
    guard let found else { return false }
    position += reader.used
    row = 0
    block = consume found
    return true
  }

  /// Takes what has come; of a large block that is not whole at least a quarter more, so that it is not read from its
  /// beginning for every piece.
  private func receive() async throws(ClickHouseError) {
    let transfer = transfer ?? begin()
    let client = client
    let left = pending.count - position
    guard left <= client.configuration.blockLimitBytes else {
      throw ClickHouseError(
        code: .limitExceeded,
        message: "a block of the answer is longer than \(client.configuration.blockLimitBytes) bytes; the setting "
          + "max_block_size makes them smaller")
    }
    await withTaskCancellationHandler {
      await flow.wait(forBytes: left > AnswerFlow.limitBytes ? left / 4 : 1)
    } onCancel: {
      client.cancel(transfer)
    }
    let taken = flow.takeAll()
    if taken.wasPaused { client.resume(transfer) }
    append(taken.bytes.bytes)
    response = taken.response
  }

  private func append(_ more: RawSpan) {
    var whole = ByteBuffer(capacity: pending.count - position + more.byteCount)
    unsafe pending.withUnsafeBytes { unsafe whole.append(UnsafeRawBufferPointer(rebasing: $0[position...])) }
    whole.append(more)
    pending = whole
    position = 0
  }

  private func begin() -> CurlTransfer {
    let flow = flow
    let transfer = CurlTransfer(
      request, startedAt: client.time.monotonic(), chunk: { flow.offer($0) }, completion: { flow.finish($0) })
    self.transfer = transfer
    client.start(transfer)
    return transfer
  }

  private func end() {
    isOver = true
    if let transfer, response == nil { client.cancel(transfer) }
  }

  /// The answer is there: whether it was whole, or what the server said instead.
  private func finish(_ response: HTTPResponse) throws(ClickHouseError) {
    switch ResponseClassifier.classify(response, expecting: .data) {
    case .success: break
    case .refused(let error), .foreign(let error), .neverSent(let error), .unknown(let error):
      throw plainException ?? error
    }
    guard position < pending.count else { return }
    throw plainException ?? .malformed("the answer ends in the middle of a block")
  }

  /// Old servers write an error's text where the next block would stand.
  private var plainException: ClickHouseError? {
    unsafe pending.withUnsafeBytes { bytes in
      let text = unsafe String(decoding: bytes[position...].prefix(ResponseClassifier.tailLimitBytes), as: UTF8.self)
      return ResponseClassifier.plainException(text[...])
    }
  }

  private static func isExceptionText(_ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
    unsafe bytes.starts(with: "Code: ".utf8) || bytes.starts(with: "\r\n__exception__".utf8)
  }
}
