internal import ClickHouseClient
internal import SinkTelemetry
internal import SinkThreads
internal import Synchronization

/// Carries sealed blocks into ClickHouse, on a thread of its own: encodes and compresses them, keeps the encoded bytes
/// for every further attempt, and says when their rows have landed. What to do when is `InsertQueueStateMachine`'s word.
final class Inserter: Sendable {
  enum Message: Sendable {
    case insert(SealedBlock)
    /// A block that came with a permit is declared now.
    case allow(SealedBlock.ID, token: String, notAfter: MonotonicInstant)
    /// Their assignment is over: what has not been sent must not be any more.
    case discard([SealedBlock.ID])
    case finished(SealedBlock.ID, InsertResponse)
    /// Ends the thread: what has not been sent is given up, what is under way is cancelled.
    case stop
  }

  private let mailbox: Mailbox<Message>
  private let signal: WakeSignal
  private let context: InserterContext
  private let thread = Mutex<ThreadBox?>(nil)

  init(context: InserterContext) {
    let signal = WakeSignal()
    self.signal = signal
    self.context = context
    mailbox = Mailbox { signal.wake() }
  }

  func start() {
    let (mailbox, signal, context) = (mailbox, signal, context)
    let started = ThreadBox(
      NamedThread(name: "sink-insert") {
        var loop = InserterLoop(context: context, mailbox: mailbox, signal: signal)
        loop.run()
      })
    thread.withLock { $0 = started }
  }

  func submit(_ block: SealedBlock) {
    context.meter.take(block.bytes + (block.deadLetters?.bytes ?? 0))
    mailbox.post(.insert(block))
  }

  /// The end of such a block comes as `PipelineEvent.ended`.
  func allow(_ id: SealedBlock.ID, token: String, notAfter: MonotonicInstant) {
    mailbox.post(.allow(id, token: token, notAfter: notAfter))
  }

  func discard(_ ids: [SealedBlock.ID]) {
    if !ids.isEmpty { mailbox.post(.discard(ids)) }
  }

  /// Ends the thread and waits for it. Blocks that had not landed stay unaccounted, and are read again at the next start.
  func stop() {
    mailbox.post(.stop)
    thread.withLock { $0.take() }?.join()
  }
}

/// A thread handle that can lie in a lock until it is joined.
final class ThreadBox: Sendable {
  private let thread: Mutex<NamedThread?>

  init(_ thread: consuming NamedThread) { self.thread = Mutex(thread) }

  func join() {
    guard let thread = thread.withLock({ $0.take() }) else { return }
    thread.join()
  }
}

/// What the inserter works with.
struct InserterContext: Sendable {
  let client: ClickHouseClient
  let limitInFlight: Int
  let retry: RetryPolicy
  let meter: MemoryMeter
  let metrics: MetricsRegistry
  let alarms: AlarmBoard
  let logger: Logger
  let time: TimeSource
  let compression: BlockCompression
  let events: Mailbox<PipelineEvent>
  let inquiry: OutcomeInquiry
  /// Woken whenever memory has been given back.
  let freed: WakeSignal
}
