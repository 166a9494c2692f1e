internal import KafkaClient
internal import SinkTelemetry
internal import SinkThreads

/// Dead letters on their way to a Kafka topic. Each is sent until the broker has acknowledged it: its offset is
/// accounted for only then.
///
/// On the consumer's thread; the producer answers from its own through the pipeline's events. What bounds it is the
/// memory budget.
struct DeadLetterDesk {
  private struct Outstanding {
    let letter: DeadLetter
    let topic: String
  }

  /// The letters that a topic has refused: they wait together and are sent again together.
  private struct Round {
    var letters: [DeadLetter.ID] = []
    var attempts = 0
    var resendAt: MonotonicInstant?
  }

  private let producer: KafkaProducer?
  private let events: Mailbox<PipelineEvent>
  private let meter: MemoryMeter
  private let retry: RetryPolicy
  private let alarms: AlarmBoard
  private let logger: Logger
  private let pending: Gauge
  private var outstanding: [DeadLetter.ID: Outstanding] = [:]
  private var rounds: [String: Round] = [:]

  init(
    producer: KafkaProducer?, events: Mailbox<PipelineEvent>, meter: MemoryMeter, retry: RetryPolicy,
    alarms: AlarmBoard, logger: Logger, pending: Gauge
  ) {
    self.producer = producer
    self.events = events
    self.meter = meter
    self.retry = retry
    self.alarms = alarms
    self.logger = logger
    self.pending = pending
  }

  mutating func send(_ letter: DeadLetter, to topic: String) {
    meter.take(letter.bytes)
    outstanding[letter.id] = Outstanding(letter: letter, topic: topic)
    pending.set(outstanding.count)
    // Behind those that wait: a topic that refuses is asked again by the round, not by every new letter.
    if rounds[topic]?.resendAt != nil {
      rounds[topic]?.letters.append(letter.id)
    } else {
      post(letter, topic)
    }
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
    guard let entry = outstanding[id] else { return nil }
    if let error {
      refused(entry, error, now)
      return nil
    }
    outstanding[id] = nil
    pending.set(outstanding.count)
    meter.giveBack(entry.letter.bytes)
    if rounds[entry.topic]?.letters.isEmpty == true {
      rounds[entry.topic] = nil
      if alarms.clear(entry.topic) {
        logger.notice("the dead letter topic takes records again", ["topic": entry.topic])
      }
    }
    return entry.letter
  }

  private mutating func refused(_ entry: Outstanding, _ error: KafkaError, _ now: MonotonicInstant) {
    var round = rounds[entry.topic] ?? Round()
    round.letters.append(entry.letter.id)
    if round.resendAt == nil {
      round.attempts += 1
      let wait = retry.delay(afterAttempt: round.attempts, random: .random(in: 0..<1))
      round.resendAt = now + wait
      // The producer's own queue is full for a moment where many letters come at once.
      if error.code != .queueFull {
        let words = "dead letters cannot be written to topic \(entry.topic): \(error.message)"
        let isNews = alarms.raise(entry.topic, words)
        logger.log(
          isNews ? .error : .warning, "dead letters are refused; records wait, nothing is dropped",
          [
            "topic": entry.topic, "attempt": "\(round.attempts)", "first_offset": "\(entry.letter.record.offset)",
            "again_in_seconds": "\((wait.seconds * 10).rounded() / 10)", "error": error.message,
          ])
      }
    }
    rounds[entry.topic] = round
  }

  mutating func resend(_ now: MonotonicInstant) {
    for (topic, round) in rounds {
      guard let due = round.resendAt, now >= due else { continue }
      rounds[topic]?.letters = []
      rounds[topic]?.resendAt = nil
      for id in round.letters {
        if let entry = outstanding[id] { post(entry.letter, topic) }
      }
    }
  }

  var nextResend: MonotonicInstant? { rounds.values.compactMap(\.resendAt).min() }
}
