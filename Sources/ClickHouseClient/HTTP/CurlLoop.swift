internal import CSinkCurl
internal import SinkThreads
internal import Synchronization

/// libcurl's multi interface on a thread of its own: all connections of one client, kept alive and reused.
final class CurlLoop: Sendable {
  enum Message: Sendable {
    case start(CurlTransfer)
    /// Its reader takes more of the answer.
    case resume(CurlTransfer)
    /// It was marked as cancelled.
    case cancel(CurlTransfer)
    /// Ends the thread; what is under way is cancelled.
    case stop
  }

  private let mailbox: Mailbox<Message>
  private let multi: CurlMulti
  private let thread: Mutex<NamedThread?>

  init(_ configuration: ClickHouseConfiguration, _ address: ServerAddress, time: TimeSource) {
    let multi = CurlMulti()
    let mailbox = Mailbox<Message> { multi.wake() }
    self.multi = multi
    self.mailbox = mailbox
    let limits = (running: configuration.requestsInFlight, waiting: configuration.requestsWaitingLimit)
    thread = Mutex(
      NamedThread(name: "sink-curl") {
        var runner = CurlRunner(
          multi: multi, options: CurlOptions(configuration, address), limits: limits, mailbox: mailbox, time: time)
        runner.run()
      })
  }

  func start(_ transfer: CurlTransfer) {
    guard !mailbox.post(.start(transfer)) else { return }
    transfer.response.way = .neverSent(.cancelled("the client is closed"))
    transfer.completion(transfer.response)
  }

  /// After a chunk was refused.
  func resume(_ transfer: CurlTransfer) { mailbox.post(.resume(transfer)) }

  /// Ends a transfer that is under way, waits, or is to be started; its completion comes as ever.
  func cancel(_ transfer: CurlTransfer) {
    transfer.isCancelled.store(true, ordering: .relaxed)
    mailbox.post(.cancel(transfer))
  }

  /// Cancels what is under way and waits for the thread.
  func stop() {
    mailbox.post(.stop)
    guard let thread = thread.withLock({ $0.take() }) else { return }
    thread.join()
  }
}

/// The multi handle. Any thread may wake it; all else is the curl thread's.
@safe final class CurlMulti: @unchecked Sendable {
  // Sendable: curl_multi_wakeup is the one call that libcurl allows from any thread.
  let native: UnsafeMutableRawPointer

  init() {
    // Once in a process, and thread-safe since 7.84.
    let status = curl_global_init(Int(CURL_GLOBAL_DEFAULT))
    precondition(status == CURLE_OK, "libcurl cannot start: \(status.rawValue)")
    guard let multi = unsafe curl_multi_init() else { preconditionFailure("libcurl has no memory") }
    unsafe native = multi
  }

  deinit { unsafe curl_multi_cleanup(native) }

  func wake() { unsafe curl_multi_wakeup(native) }
}

/// The loop, with state that only its thread sees.
private struct CurlRunner: ~Copyable {
  let multi: CurlMulti
  let options: CurlOptions
  let limits: (running: Int, waiting: Int)
  let mailbox: Mailbox<CurlLoop.Message>
  let time: TimeSource
  private var waiting: [CurlTransfer] = []
  private var running: [UInt: CurlHandle] = [:]
  private var isStopping = false

  init(
    multi: CurlMulti, options: CurlOptions, limits: (running: Int, waiting: Int), mailbox: Mailbox<CurlLoop.Message>,
    time: TimeSource
  ) {
    self.multi = multi
    self.options = options
    self.limits = limits
    self.mailbox = mailbox
    self.time = time
    unsafe sink_curl_multi_set_long(multi.native, CURLMOPT_MAX_TOTAL_CONNECTIONS, limits.running + 2)
    unsafe sink_curl_multi_set_long(multi.native, CURLMOPT_MAXCONNECTS, limits.running + 2)
  }

  mutating func run() {
    while !isStopping {
      for message in mailbox.takeAll() {
        switch message {
        case .start(let transfer): accept(transfer)
        case .resume(let transfer): handle(of: transfer)?.resume()
        case .cancel(let transfer): cancel(transfer)
        case .stop: isStopping = true
        }
      }
      startWaiting()
      var count: Int32 = 0
      unsafe curl_multi_perform(multi.native, &count)
      collect()
      guard !isStopping else { break }
      startWaiting()
      unsafe curl_multi_poll(multi.native, nil, 0, 1000, nil)
    }
    cancelAll()
  }

  private mutating func accept(_ transfer: CurlTransfer) {
    guard !transfer.isCancelled.load(ordering: .relaxed) else {
      return end(transfer, .neverSent(.cancelled("the request was cancelled before it was sent")))
    }
    guard waiting.count < limits.waiting else {
      return end(
        transfer,
        .neverSent(
          ClickHouseError(
            code: .limitExceeded,
            message: "\(limits.waiting) requests wait already; the server is too slow for them", isRetriable: true)))
    }
    waiting.append(transfer)
  }

  private mutating func startWaiting() {
    while running.count < limits.running, !waiting.isEmpty {
      let transfer = waiting.removeFirst()
      do throws(ClickHouseError) {
        let handle = try CurlHandle(transfer, options)
        let status = unsafe curl_multi_add_handle(multi.native, handle.native)
        guard status == CURLM_OK else {
          throw ClickHouseError(
            code: .transport, message: "libcurl cannot start a request (\(status.rawValue))", isRetriable: true)
        }
        running[handle.id] = handle
      } catch {
        end(transfer, .neverSent(error))
      }
    }
  }

  private func handle(of transfer: CurlTransfer) -> CurlHandle? {
    running.values.first { $0.transfer === transfer }
  }

  private mutating func cancel(_ transfer: CurlTransfer) {
    if let index = waiting.firstIndex(where: { $0 === transfer }) {
      waiting.remove(at: index)
      end(transfer, .neverSent(.cancelled("the request was cancelled before it was sent")))
    } else if let handle = handle(of: transfer) {
      running[handle.id] = nil
      abandon(handle, "the request was cancelled")
    }
  }

  /// Ends a transfer in the middle, and its connection with it.
  private func abandon(_ handle: CurlHandle, _ why: String) {
    unsafe curl_multi_remove_handle(multi.native, handle.native)
    end(handle.transfer, handle.transfer.hasSent ? .broken(.cancelled(why)) : .neverSent(.cancelled(why)))
  }

  private mutating func collect() {
    var left: Int32 = 0
    while let message = unsafe curl_multi_info_read(multi.native, &left) {
      guard unsafe message.pointee.msg == CURLMSG_DONE else { continue }
      // Removing the handle frees the message: read it first.
      let result = unsafe message.pointee.data.result
      let easy = unsafe message.pointee.easy_handle!
      unsafe curl_multi_remove_handle(multi.native, easy)
      guard let handle = running.removeValue(forKey: UInt(bitPattern: easy)) else { continue }
      end(handle.transfer, handle.way(of: result))
    }
  }

  private func end(_ transfer: CurlTransfer, _ way: HTTPResponse.Way) {
    transfer.response.way = way
    transfer.response.duration = time.monotonic() - transfer.startedAt
    transfer.completion(transfer.response)
  }

  private mutating func cancelAll() {
    for message in mailbox.close() {
      if case .start(let transfer) = message { waiting.append(transfer) }
    }
    for transfer in waiting { end(transfer, .neverSent(.cancelled("the client was closed"))) }
    for handle in running.values { abandon(handle, "the client was closed") }
    waiting = []
    running = [:]
  }
}
