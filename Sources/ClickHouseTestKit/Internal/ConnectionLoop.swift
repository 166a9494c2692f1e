internal import SinkThreads

/// Serves one connection, request by request, as the script says.
struct ConnectionLoop {
  let core: ServerCore
  let number: Int
  let stream: SocketStream
  private var reader: RequestReader
  private var relayed: (answer: [UInt8], isLast: Bool) = ([], true)
  /// The answer that was sent ends the connection.
  private var isLast = false

  init(core: ServerCore, number: Int, stream: SocketStream) {
    self.core = core
    self.number = number
    self.stream = stream
    reader = RequestReader(stream)
  }

  mutating func run() {
    defer { stream.close() }
    do throws(Ending) {
      while let head = try reader.head() {
        try serve(head)
        if isLast || !reader.isBodyWhole || head.header("connection")?.lowercased() == "close" { return }
      }
    } catch {
      if error == .malformed { try? stream.send(ServerAnswer(400, text: "no HTTP request\n").bytes[...]) }
    }
  }

  private mutating func serve(_ head: RequestReader.Head) throws(Ending) {
    var (request, insertIndex) = core.record(head, connection: number)
    var body: [UInt8] = []
    defer {
      request.isBodyWhole = reader.isBodyWhole
      core.update(request)
    }
    let chosen = core.script.choose(request, insertIndex)
    for action in chosen?.actions ?? defaultStep(request).actions {
      try perform(action, &request, &body)
      if isLast { return }
    }
    // The statement is in the body: what the client wants is known only now.
    guard chosen == nil, !request.isInsert, upstreamAddress(of: request) == nil else { return }
    let sql = request.parameter("query") ?? String(decoding: body, as: UTF8.self)
    try send(BuiltInAnswers.answer(to: sql, tables: core.tables), &request)
  }

  private func defaultStep(_ request: ReceivedRequest) -> ServerStep {
    if request.method == "CONNECT" { return .tunnel }
    if upstreamAddress(of: request) != nil { return .forward }
    return request.isInsert ? .accept : ServerStep([.readBody])
  }

  /// The server that a request is for: the one that a proxy's client names, or the one behind us.
  private func upstreamAddress(of request: ReceivedRequest) -> UpstreamAddress? {
    if request.method == "CONNECT" { return UpstreamAddress(authority: request.target[...]) }
    if request.target.hasPrefix("http://") { return try? UpstreamAddress(request.target) }
    return core.upstream
  }

  private mutating func perform(
    _ action: ServerStep.Action, _ request: inout ReceivedRequest, _ body: inout [UInt8]
  ) throws(Ending) {
    switch action {
    case .readBody:
      if request.header("expect")?.lowercased() == "100-continue" { try sendContinue() }
      try read(upTo: .max, &request, &body)
    case .readBodyBytes(let count): try read(upTo: count, &request, &body)
    case .readBodySlowly(let bytes, let pause):
      while !reader.isBodyWhole {
        try read(upTo: reader.bodyBytes + bytes, atMost: bytes, &request, &body)
        try stream.pause(pause)
      }
    case .sendContinue: try sendContinue()
    case .wait(let duration): try stream.pause(duration)
    case .hold(let gate):
      guard try stream.pause(core.patience, until: gate.descriptor) else { throw .gone }
    case .send(let answer): try send(answer, &request)
    case .sendPart(let answer, let bytes): try send(answer.bytes.prefix(bytes), &request)
    case .sendSlowly(let answer, let bytes, let pause):
      try sendSlowly(answer.bytes[...], bytes, pause, &request)
    case .forward:
      guard let address = upstreamAddress(of: request) else { throw .gone }
      relayed = try core.forward(request, body: body, to: address)
    case .relay:
      isLast = relayed.isLast
      try send(relayed.answer[...], &request)
    case .relaySlowly(let bytes, let pause):
      isLast = relayed.isLast
      try sendSlowly(relayed.answer[...], bytes, pause, &request)
    case .tunnel:
      guard let address = upstreamAddress(of: request) else { throw .gone }
      isLast = true
      try core.tunnel(stream, reader.takeBuffered(), to: address)
    case .reset:
      isLast = true
      stream.reset()
    case .close: isLast = true
    case .stall:
      isLast = true
      try stream.pause(core.patience)
    }
  }

  private func sendContinue() throws(Ending) { try stream.send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)[...]) }

  private mutating func send(_ answer: ServerAnswer, _ request: inout ReceivedRequest) throws(Ending) {
    if case .untilClose = answer.framing { isLast = true }
    try send(answer.bytes[...], &request)
  }

  private func sendSlowly(
    _ bytes: ArraySlice<UInt8>, _ size: Int, _ pause: Duration, _ request: inout ReceivedRequest
  ) throws(Ending) {
    var rest = bytes
    while !rest.isEmpty {
      try send(rest.prefix(size), &request)
      rest = rest.dropFirst(size)
      try stream.pause(pause)
    }
  }

  private func send(_ bytes: ArraySlice<UInt8>, _ request: inout ReceivedRequest) throws(Ending) {
    var rest = bytes
    while !rest.isEmpty {
      let piece = rest.prefix(64 << 10)
      try stream.send(piece)
      rest = rest.dropFirst(piece.count)
      request.answerBytes += piece.count
      core.update(request)
    }
  }

  /// Reads the body until so many bytes of it have come, and shows them to whoever looks at the server's requests.
  private mutating func read(
    upTo count: Int, atMost step: Int = 1 << 20, _ request: inout ReceivedRequest, _ body: inout [UInt8]
  ) throws(Ending) {
    let isNeeded = core.keepsBodies || upstreamAddress(of: request) != nil || !request.isInsert
    while reader.bodyBytes < count, !reader.isBodyWhole {
      let piece = try reader.body(atMost: min(step, count - reader.bodyBytes))
      if isNeeded { body += piece }
      request.bodyBytes = reader.bodyBytes
    }
    request.isBodyWhole = reader.isBodyWhole
    if core.keepsBodies { request.body = body }
    core.update(request)
  }
}
