internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// Dead letters on their way to a Kafka topic. Each is sent until the broker has acknowledged it: its offset is
/// accounted for only then.
///
/// On the consumer's thread; the producer answers from its own through the pipeline's events.
struct DeadLetterDesk {
  private struct Outstanding {
    let letter: DeadLetter
    let topic: String
    var attempts = 0
    /// Set while it waits to be sent again.
    var resendAt: MonotonicInstant?
  }

  private let producer: KafkaProducer?
  private let events: Mailbox<PipelineEvent>
  private let meter: MemoryMeter
  private let retry: RetryPolicy
  private let logger: Logger
  private let pending: Gauge
  private var outstanding: [DeadLetter.ID: Outstanding] = [:]

  init(
    producer: KafkaProducer?, events: Mailbox<PipelineEvent>, meter: MemoryMeter, retry: RetryPolicy, logger: Logger,
    pending: Gauge
  ) {
    self.producer = producer
    self.events = events
    self.meter = meter
    self.retry = retry
    self.logger = logger
    self.pending = pending
  }

  mutating func send(_ letter: DeadLetter, to topic: String) {
    meter.take(letter.bytes)
    outstanding[letter.id] = Outstanding(letter: letter, topic: topic)
    pending.set(outstanding.count)
    post(letter, topic)
  }

  private func post(_ letter: DeadLetter, _ topic: String) {
    guard let producer else { preconditionFailure("a route with a dead letter topic has a producer") }
    let reasons = letter.reasonHeaders.map { Record.Header($0.name, Array($0.value.utf8)) }
    let events = events
    let id = letter.id
    do throws(KafkaError) {
      try producer.send(
        topic: topic, key: letter.record.key, value: letter.record.value, headers: letter.record.headers + reasons
      ) { result in
        switch result {
        case .success: events.post(.deadLetterAnswered(id, nil))
        case .failure(let error): events.post(.deadLetterAnswered(id, error))
        }
      }
    } catch {
      events.post(.deadLetterAnswered(id, error))
    }
  }

  /// - Returns: the letter, if it has landed.
  mutating func answered(_ id: DeadLetter.ID, _ error: KafkaError?, _ now: MonotonicInstant) -> DeadLetter? {
    guard var entry = outstanding[id] else { return nil }
    guard let error else {
      outstanding[id] = nil
      pending.set(outstanding.count)
      meter.giveBack(entry.letter.bytes)
      return entry.letter
    }
    entry.attempts += 1
    entry.resendAt = now + retry.delay(afterAttempt: entry.attempts, random: .random(in: 0..<1))
    outstanding[id] = entry
    logger.error(
      "a dead letter was refused; trying again",
      ["topic": entry.topic, "offset": "\(entry.letter.record.offset)", "error": error.message])
    return nil
  }

  mutating func resend(_ now: MonotonicInstant) {
    for (id, entry) in outstanding {
      guard let due = entry.resendAt, now >= due else { continue }
      outstanding[id]?.resendAt = nil
      post(entry.letter, entry.topic)
    }
  }

  var nextResend: MonotonicInstant? { outstanding.values.compactMap(\.resendAt).min() }
}
