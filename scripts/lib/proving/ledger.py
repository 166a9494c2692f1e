"""What was produced, by what the broker has acknowledged, and its comparison with what is in the table."""
import array, random, struct, sys, threading, time, zlib

NOTHING, LETTER = -1, -2
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class Ledger:
    """For each partition, by offset: the number of the record that must be a row, LETTER for a dead letter, NOTHING where
    there is no record that anybody may see (a mark of a transaction, an aborted record)."""

    def __init__(self, partitions):
        self.numbers = [array.array("q") for _ in range(partitions)]
        self.checks = [array.array("L") for _ in range(partitions)]
        self.lock = threading.Lock()
        self.records = self.letters = self.aborted = 0
        # Numbers whose delivery failed: they may be there.
        self.unsure = set()

    def note(self, partition, offset, number, check):
        with self.lock:
            numbers, checks = self.numbers[partition], self.checks[partition]
            while len(numbers) <= offset:
                numbers.append(NOTHING)
                checks.append(0)
            numbers[offset], checks[offset] = number, check
            if number >= 0:
                self.records += 1
            elif number == LETTER:
                self.letters += 1


class Producer(threading.Thread):
    """Numbered records at a steady rate into all partitions; each carries a checksum of its text. Some are bad: the decoder
    refuses some, the table's constraint others."""

    def __init__(self, brokers, topic, ledger, rate, seed, bad_every=997, refused_every=20011):
        from confluent_kafka import Producer as Client
        super().__init__(daemon=True)
        self.topic, self.ledger, self.rate = topic, ledger, rate
        self.bad_every, self.refused_every = bad_every, refused_every
        self.random = random.Random(seed)
        self.sent, self.stopping = 0, False
        self.resting, self.rested = threading.Event(), threading.Event()
        self.client = Client({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 5,
                              "delivery.timeout.ms": 120000, "reconnect.backoff.max.ms": 500, "log_level": 2,
                              "topic.metadata.refresh.interval.ms": 5000})

    def value(self, number):
        text = "".join(self.random.choices(LETTERS, k=self.random.randrange(10, 40)))
        check = zlib.crc32(text.encode())
        if self.bad_every and number % self.bad_every == 13:
            return '{"id":"bad %d","text":"%s","check":%d}' % (number, text, check), LETTER, check
        if self.refused_every and number % self.refused_every == 4444:
            return '{"id":%d,"text":"","check":%d}' % (number, check), LETTER, check
        return '{"id":%d,"text":"%s","check":%d}' % (number, text, check), number, check

    def produce(self, client, partition, isAborted=False):
        number = self.sent
        self.sent += 1
        value, fate, check = self.value(number)

        def delivered(error, message):
            if error:
                self.ledger.unsure.add(number)
            else:
                self.ledger.note(message.partition(), message.offset(), NOTHING if isAborted else fate, check)

        while True:
            try:
                client.produce(self.topic, value=value, partition=partition, on_delivery=delivered)
                return
            except BufferError:
                client.poll(0.1)

    def run(self):
        partitions = len(self.ledger.numbers)
        due = time.time()
        while not self.stopping:
            if self.resting.is_set():
                self.client.flush(60)
                self.rested.set()
                time.sleep(0.02)
                due = time.time()
                continue
            for _ in range(max(1, self.rate // 50)):
                self.produce(self.client, self.random.randrange(partitions))
            self.client.poll(0)
            due = max(due + 0.02, time.time() - 0.5)
            time.sleep(max(0, due - time.time()))

    def pause(self):
        self.rested.clear()
        self.resting.set()
        self.rested.wait(60)

    def go_on(self):
        self.resting.clear()

    def transaction(self, brokers, records, aborts):
        """Of its own, in each partition, while `run` rests."""
        from confluent_kafka import Producer as Client
        client = Client({"bootstrap.servers": brokers, "transactional.id": "proof", "linger.ms": 5})
        client.init_transactions(30)
        client.begin_transaction()
        for partition in range(len(self.ledger.numbers)):
            for _ in range(records):
                self.produce(client, partition, isAborted=aborts)
        client.flush(30)
        if aborts:
            self.ledger.aborted += records * len(self.ledger.numbers)
            client.abort_transaction(30)
        else:
            client.commit_transaction(30)

    def finish(self):
        self.stopping = True
        self.join()
        self.finish_feeding()

    def finish_feeding(self):
        if self.client.flush(120):
            sys.exit("the producer does not know whether all its records are written")


def dead_letters(brokers, topic):
    """The places that dead letters tell of, as a set of (partition, offset), and how many there are."""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "proof-letters", "enable.auto.commit": False})
    places, count = set(), 0
    try:
        metadata = consumer.list_topics(topic, timeout=30)
        for partition in metadata.topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            consumer.assign([TopicPartition(topic, partition, low)])
            while low < high:
                message = consumer.poll(30)
                if message is None or message.error():
                    sys.exit("the dead letters cannot be read: %s" % (message and message.error()))
                headers = dict(message.headers())
                places.add((int(headers["sinkctl.partition"]), int(headers["sinkctl.offset"])))
                count, low = count + 1, message.offset() + 1
    finally:
        consumer.close()
    return places, count


def dead_letter_rows(query, table):
    """As `dead_letters`, of a table."""
    data = query.bytes("SELECT _partition, _offset FROM %s FORMAT RowBinary" % table)
    places = list(struct.iter_unpack("<iq", data))
    return set(places), len(places)


def compare(ledger, query, table, letters):
    """Row by row, by offset."""
    found = {"records": ledger.records, "letters": ledger.letters, "aborted": ledger.aborted, "rows": 0, "lost": 0,
             "doubled": 0, "wrong": 0, "unknown": 0, "letters_lost": 0, "letters_unknown": 0, "first": []}

    def say(what, partition, offset):
        found[what] += 1
        if len(found["first"]) < 20:
            found["first"].append("%s: partition %d, offset %d" % (what, partition, offset))

    for partition, (numbers, checks) in enumerate(zip(ledger.numbers, ledger.checks)):
        seen = bytearray(len(numbers))
        data = query.bytes("SELECT _offset, id, `check`, toUInt8(%s) FROM %s WHERE _partition = %d "
                           "ORDER BY _offset FORMAT RowBinary" % (query.whole, table, partition))
        for offset, number, check, isWhole in struct.iter_unpack("<qQIB", data):
            found["rows"] += 1
            if offset >= len(numbers) or numbers[offset] < 0:
                if number not in ledger.unsure:
                    say("unknown", partition, offset)
                continue
            if seen[offset]:
                say("doubled", partition, offset)
            elif numbers[offset] != number or checks[offset] != check or not isWhole:
                say("wrong", partition, offset)
            seen[offset] = 1
        for offset, number in enumerate(numbers):
            if number >= 0 and not seen[offset]:
                say("lost", partition, offset)
            if number == LETTER and (partition, offset) not in letters:
                say("letters_lost", partition, offset)
    for partition, offset in letters:
        numbers = ledger.numbers[partition]
        if offset >= len(numbers) or numbers[offset] != LETTER:
            say("letters_unknown", partition, offset)
    return found
