"""A member of the group: one `sinkctl run`, its configuration, its way to ClickHouse, and its supervisor."""
import json, os, signal, subprocess, sys, time, urllib.request
from .http_proxy import HTTPProxy
from .clock import Clock
from .servers import child, free_ports

CONFIGURATION = """kafka:
  brokers: ["{brokers}"]
  group: {group}
  instance_id: {instance}
  session_timeout: {session}s
clickhouse: {{url: "http://127.0.0.1:{http}", compression: none, request_timeout: 8s, stall_timeout: 4s}}
routes:
  - topic: {topic}
    table: {topic}
    delivery: {delivery}
    deduplication: {deduplication}
    dead_letters: {{{letters}}}
    block: {{max_rows: 5000, linger: 100ms}}
limits: {{drain: 20s}}
admin: {{listen: "127.0.0.1:{admin}"}}
log: {{level: info}}
"""


class Member:
    def __init__(self, options, directory, brokers, front_port, instance, topic="numbers", delivery=None):
        self.options, self.instance = options, instance
        self.proxy = HTTPProxy(front_port, os.path.join(directory, instance + ".inserts"))
        self.admin, = free_ports(1)
        self.path = os.path.join(directory, instance + ".yaml")
        self.log_path = os.path.join(directory, instance + ".log")
        self.starts, self.process, self.ended = [], None, 0
        self.log = open(self.log_path, "a")
        self.environment = dict(os.environ)
        if options.librdkafka:
            self.environment["LD_LIBRARY_PATH"] = options.librdkafka
        self.clock = None
        if Clock.library:
            self.clock = Clock(os.path.join(directory, instance + ".clock"))
            self.environment.update(self.clock.environment)
        with open(self.path, "w") as file:
            file.write(CONFIGURATION.format(brokers=brokers, group="prove-" + topic, instance=instance, session=options.session,
                                            http=self.proxy.port, topic=topic, delivery=delivery or options.delivery,
                                            admin=self.admin,
                                            letters="table: %s_letters" % topic if options.views else "topic: %s.dead" % topic,
                                            deduplication="count" if options.server == "18.16" else "token"))
        self.start()

    def start(self):
        self.starts.append(time.time())
        self.proxy.run = len(self.starts)
        self.process = child([self.options.sinkctl, "run", "--config", self.path], stdout=self.log, stderr=self.log,
                             env=self.environment)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def crash(self):
        self.kill()
        self.start()

    def signal(self, number):
        self.process.send_signal(number)

    def ensure(self):
        """One that ended by itself is started again, as a supervisor does."""
        code = self.process.poll()
        if code is None:
            return
        if code in (64, 77, 78):
            sys.exit("%s cannot run (exit code %d): see %s" % (self.instance, code, self.log_path))
        self.ended += 1
        self.start()

    def end(self, seconds=60):
        """As a supervisor stops it; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            sys.exit("%s does not end %d s after SIGTERM: see %s" % (self.instance, seconds, self.log_path))

    def status(self):
        """None where nobody answers."""
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/status" % self.admin, timeout=2) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def said(self, words):
        with open(self.log_path, errors="replace") as file:
            return sum(words in line for line in file)


def recoveries(members):
    """After each start: seconds to the first block that nobody had sent before, and rows sent that somebody had."""
    book = sorted((insert for member in members for insert in member.proxy.book if insert.token), key=lambda insert: insert.at)
    owner, first_new, again = {}, {}, {}
    key = {id(insert): (member.instance, insert.run) for member in members for insert in member.proxy.book}
    for insert in book:
        run = key[id(insert)]
        if owner.setdefault(insert.token, run) != run:
            again.setdefault(run, {})[insert.token] = insert.rows
        elif insert.outcome in ("accepted", "landed"):
            first_new.setdefault(run, insert.at)
    seconds, rows = [], []
    for member in members:
        for number, started in enumerate(member.starts[1:], 2):
            run = (member.instance, number)
            rows.append(sum(again.get(run, {}).values()))
            if run in first_new:
                seconds.append(first_new[run] - started)
    return sorted(seconds), sorted(rows)
