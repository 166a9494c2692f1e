"""What is done to members and servers, by name. Each deed ends with everything running again."""
import signal, time
from .servers import KafkaFaults, child

DEEDS = {}


class Skipped(Exception):
    """What it needs is not here."""


class Missed(Exception):
    """The moment that it waits for did not come: it is tried again later."""


def deed(name, needs=()):
    def register(function):
        function.needs = needs
        DEEDS[name] = function
        return function
    return register


def victim(world):
    return world.random.choice(world.members)


def catch_insert(world, action, seconds=20, **options):
    """Waits for somebody's next insert, which is treated so; returns the member and the rule."""
    rules = [(member, member.proxy.arm(action, **options)) for member in world.members]
    deadline = time.time() + seconds
    try:
        while time.time() < deadline:
            for member, rule in rules:
                if rule.caught.wait(0.002):
                    rules.remove((member, rule))
                    return member, rule
        raise Missed("no insert came")
    finally:
        for member, rule in rules:
            member.proxy.disarm(rule)


def wait_for_insert(rule, seconds=20):
    if not rule.caught.wait(seconds):
        raise Missed("no insert came")


# Kills


@deed("kill")
def kill(world):
    """SIGKILL at a random moment."""
    victim(world).crash()


@deed("kill-twice")
def kill_twice(world):
    """SIGKILL, and again while the second start joins, claims or makes blocks again."""
    member = victim(world)
    for _ in range(2):
        member.crash()
        time.sleep(world.random.uniform(0, 1.2))
    member.crash()


@deed("kill-declare-held", needs=("faults",))
def kill_declare_held(world):
    """SIGKILL while a commit is held before the broker; it reaches the broker when the next start is under way."""
    killed_at_commit(world, "hold", world.random.choice([0.2, 1, 2.5]))


@deed("kill-declare-lost", needs=("faults",))
def kill_declare_lost(world):
    """SIGKILL when a commit was sent that never reaches the broker."""
    killed_at_commit(world, "close", 0)


@deed("kill-declare-written", needs=("faults",))
def kill_declare_written(world):
    """SIGKILL when the broker has written a commit whose answer is held."""
    killed_at_commit(world, "holdresp", 2)


def killed_at_commit(world, action, seconds):
    world.kafka.faults.rule(KafkaFaults.COMMIT, action, seconds)
    instance = world.kafka.faults.caught()
    member = next((each for each in world.members if each.instance == instance), None)
    if member is None:
        world.kafka.faults.clear()
        raise Missed("no commit came")
    if action == "holdresp":
        time.sleep(0.03)
    member.crash()


@deed("kill-insert-held")
def kill_insert_held(world):
    """SIGKILL while an insert is held before the server; it lands while the next start makes the same block again."""
    member, rule = catch_insert(world, "hold")
    member.crash()
    time.sleep(world.random.uniform(0, 3))
    rule.release.set()


@deed("kill-insert-lost")
def kill_insert_lost(world):
    """SIGKILL when an insert was sent that never reaches the server."""
    member, rule = catch_insert(world, "lose")
    member.crash()
    rule.release.set()


@deed("kill-insert-applied")
def kill_insert_applied(world):
    """SIGKILL when the server has applied an insert whose answer is held."""
    member, rule = catch_insert(world, "hold-answer")
    time.sleep(0.15)
    member.crash()
    rule.release.set()


@deed("kill-replay")
def kill_replay(world):
    """SIGKILL with an insert under way, and again when the next start sends its first: what it made again."""
    member, first = catch_insert(world, "lose")
    member.kill()
    first.release.set()
    second = member.proxy.arm(world.random.choice(["hold", "hold-answer", "lose"]))
    member.start()
    wait_for_insert(second)
    time.sleep(world.random.choice([0, 0.15]))
    member.crash()
    time.sleep(world.random.uniform(0, 2))
    second.release.set()


@deed("kill-drain")
def kill_drain(world):
    """SIGTERM with an insert held, then SIGKILL in the midst of the drain."""
    member, rule = catch_insert(world, "hold")
    member.signal(signal.SIGTERM)
    time.sleep(world.random.uniform(0, 0.5))
    if world.random.random() < 0.5:
        rule.release.set()
        time.sleep(world.random.uniform(0, 0.05))
    member.crash()
    rule.release.set()


@deed("kill-rebalance")
def kill_rebalance(world):
    """SIGKILL while a new member joins and takes partitions; the new one goes again."""
    with visitor(world) as extra:
        if world.kafka and world.kafka.faults:
            world.kafka.faults.seen("JoinGroup")
        time.sleep(world.random.uniform(0, 1))
        world.random.choice(world.members + [extra]).crash()
        time.sleep(world.random.uniform(1, 3))


class visitor:
    """A member for a while. It says no goodbye to the group: a static member's place is kept for a session."""

    def __init__(self, world):
        self.world = world

    def __enter__(self):
        if self.world.kafka and self.world.kafka.faults:
            self.world.kafka.faults.watch()
        self.member = self.world.member("visitor-%d" % len(self.world.gone))
        return self.member

    def __exit__(self, *_):
        self.member.ensure()
        self.member.end()
        self.world.gone.append(self.member)


# The group


@deed("join-leave")
def join_leave(world):
    """A member more, for a while: partitions go to it and come back."""
    with visitor(world) as extra:
        time.sleep(world.random.uniform(2, 6))
        if world.random.random() < 0.5:
            extra.signal(signal.SIGSTOP)
            time.sleep(0.5)
            extra.signal(signal.SIGCONT)


@deed("restart")
def restart(world):
    """An orderly restart, as a deployment does."""
    member = victim(world)
    member.end()
    member.start()


@deed("suspend")
def suspend(world):
    """SIGSTOP for longer than the session, then SIGCONT: its partitions are another's meanwhile."""
    member = victim(world)
    member.signal(signal.SIGSTOP)
    time.sleep(world.options.session * world.random.uniform(1.1, 2))
    member.signal(signal.SIGCONT)


@deed("suspend-insert")
def suspend_insert(world):
    """SIGSTOP with an insert held, for longer than the session; the insert lands before SIGCONT."""
    member, rule = catch_insert(world, "hold", hold=60)
    member.signal(signal.SIGSTOP)
    time.sleep(world.options.session * world.random.uniform(1.1, 1.5))
    rule.release.set()
    time.sleep(world.random.uniform(0, 1))
    member.signal(signal.SIGCONT)


@deed("twin")
def twin(world):
    """A second process under the same instance id: one of the two must end, and name it."""
    member = victim(world)
    words = "instance id " + member.instance
    before = member.said(words)
    path = member.path.replace(".yaml", ".twin.yaml")
    with open(path, "w") as file:
        file.write(open(member.path).read().replace('"127.0.0.1:%d"' % member.admin, '"off"'))
    other = child([world.options.sinkctl, "run", "--config", path], stdout=member.log, stderr=member.log, env=member.environment)
    deadline = time.time() + 30
    while time.time() < deadline and member.process.poll() is None and other.poll() is None:
        time.sleep(0.05)
    ended = [each for each in (member.process, other) if each.poll() is not None]
    other.kill()
    other.wait()
    member.kill()
    member.start()
    if not ended:
        world.complain("twin: two processes ran under the instance id %s for 30 s" % member.instance)
    elif member.said(words) == before:
        world.complain("twin: one ended (exit code %s) and did not say why" % ended[0].returncode)


# Clocks: hosts of a group may differ by a minute


def off(world, most):
    return world.random.choice([-1, 1]) * world.random.randrange(most // 2, most)


@deed("clock-skewed", needs=("clocks",))
def clock_skewed(world):
    """A member is killed with an insert under way and starts on a clock that is 14 to 28 s ahead or behind; it stays so."""
    member, rule = catch_insert(world, world.random.choice(["lose", "hold-answer"]))
    member.kill()
    member.clock.set(off(world, 29))
    member.start()
    time.sleep(world.random.uniform(0, 2))
    rule.release.set()


@deed("clock-jumps", needs=("clocks",))
def clock_jumps(world):
    """The clock of a member that runs jumps to 14 to 28 s ahead or behind, with an insert whose answer is lost; half of the
    time its partitions go to another meanwhile."""
    member, rule = catch_insert(world, world.random.choice(["lose", "hold-answer"]))
    jump(world, member, rule, off(world, 29))


@deed("clock-far", needs=("clocks",))
def clock_far(world):
    """The same by 10 minutes to 2 hours, more than what is promised about, and back after a while, with another insert in doubt."""
    member, rule = catch_insert(world, world.random.choice(["lose", "hold-answer"]))
    before = member.clock.seconds
    jump(world, member, rule, world.random.choice([-1, 1]) * world.random.randrange(600, 7200))
    time.sleep(world.random.uniform(1, 3))
    second = member.proxy.arm(world.random.choice(["lose", "hold-answer"]))
    second.caught.wait(5)
    jump(world, member, second, before)
    member.proxy.disarm(second)


def jump(world, member, rule, seconds):
    member.clock.set(seconds)
    time.sleep(world.random.uniform(0, 1))
    deed = world.random.choice(["nothing", "nothing", "crash", "suspend"])
    if deed == "crash":
        member.crash()
    elif deed == "suspend":
        member.signal(signal.SIGSTOP)
        time.sleep(world.options.session * world.random.uniform(1.1, 1.5))
        member.signal(signal.SIGCONT)
    rule.release.set()


# The server


@deed("server-killed")
def server_killed(world):
    """SIGKILL of ClickHouse, half of the time with an insert that it has just applied, and a start with its data."""
    if world.random.random() < 0.5:
        _, rule = catch_insert(world, "hold-answer")
        time.sleep(0.15)
        rule.release.set()
    world.front.kill()
    time.sleep(world.random.uniform(0, 3))
    world.front.start()


def at_inserts(world, action, count=1, **options):
    catch_insert(world, action, count=count, **options)


@deed("server-refuses")
def server_refuses(world):
    """Errors before anything is applied: 503 of a gateway, and ClickHouse's own of several kinds."""
    status, code = world.random.choice([(503, None), (500, 252), (500, 241), (500, 202), (500, 242), (500, 999)])
    at_inserts(world, "refuse", count=3, status=status, code=code, text="" if code else "<html>Service Unavailable</html>")


@deed("server-resets")
def server_resets(world):
    """The connection is reset before the insert is applied."""
    at_inserts(world, "reset", count=2)


@deed("server-resets-late")
def server_resets_late(world):
    """The connection is reset after the insert was applied."""
    at_inserts(world, "reset-answer", count=2)


@deed("server-spoils")
def server_spoils(world):
    """The insert is applied, and the answer is a gateway's error or a ClickHouse error all the same."""
    status, code = world.random.choice([(502, None), (504, None), (500, 209), (500, 159), (500, 394)])
    at_inserts(world, "spoil-answer", count=2, status=status, code=code, text="" if code else "<html>Bad Gateway</html>")


@deed("server-stalls")
def server_stalls(world):
    """No answer for longer than the client waits; the insert lands afterwards."""
    at_inserts(world, "hold", hold=world.random.uniform(5, 10))


@deed("server-drips")
def server_drips(world):
    """The answer comes a few bytes at a time."""
    at_inserts(world, "drip", count=2, hold=world.random.uniform(1, 3))


@deed("server-exception-200")
def server_exception(world):
    """Status 200 with an exception in it: nothing was applied."""
    at_inserts(world, "refuse", count=2, status=200, code=241)


# Kafka


@deed("broker-killed", needs=("kafka",))
def broker_killed(world):
    """SIGKILL of the broker, and a start with its data."""
    world.kafka.kill()
    time.sleep(world.random.uniform(0, 3))
    world.kafka.start()


@deed("broker-frozen", needs=("kafka",))
def broker_frozen(world):
    """SIGSTOP of the broker, shorter or longer than a session."""
    world.kafka.freeze(world.random.uniform(0.3, 1.5) * world.options.session)


@deed("network-cut", needs=("network",))
def network_cut(world):
    """Connections to the broker break and are refused, shorter or longer than a session."""
    world.kafka.network.cut(world.random.uniform(0.1, 1.5) * world.options.session)


@deed("network-slow", needs=("network",))
def network_slow(world):
    """Each of the broker's answers takes 400 to 700 ms more."""
    world.kafka.network.toxic("latency", '{"latency":550,"jitter":150}', 8)


@deed("network-narrow", needs=("network",))
def network_narrow(world):
    """20 KB/s."""
    world.kafka.network.toxic("bandwidth", '{"rate":20}', 5)


def at_commit(world, action, seconds=0.0, code=0, count=1):
    world.kafka.faults.rule(KafkaFaults.COMMIT, action, seconds, code, count)
    if world.kafka.faults.caught() is None:
        world.kafka.faults.clear()
        raise Missed("no commit came")


@deed("commit-held", needs=("faults",))
def commit_held(world):
    """A commit reaches the broker seconds later."""
    at_commit(world, "hold", world.random.choice([0.3, 0.7, 2, 4]))


@deed("commit-lost", needs=("faults",))
def commit_lost(world):
    """The connection breaks instead of a commit: librdkafka sends it again by itself."""
    at_commit(world, "close")


@deed("commit-answer-lost", needs=("faults",))
def commit_answer_lost(world):
    """The connection breaks after a commit was written, before its answer."""
    at_commit(world, "closeafter")


@deed("commit-answer-held", needs=("faults",))
def commit_answer_held(world):
    """A commit's answer comes seconds later."""
    at_commit(world, "holdresp", world.random.choice([0.3, 0.7, 2, 4]))


@deed("commit-late", needs=("faults",))
def commit_late(world):
    """A commit is not answered, and a copy of it lands seconds later."""
    at_commit(world, "lag", world.random.choice([0.3, 1, 3, 6]))


@deed("commit-refused", needs=("faults",))
def commit_refused(world):
    """The broker refuses a commit, with one of Kafka's codes."""
    at_commit(world, "err", code=world.random.choice([7, 14, 15, 16, 22, 25, 27]), count=world.random.choice([1, 3]))


@deed("join-lost", needs=("faults",))
def join_lost(world):
    """A member restarts, and the answer to its JoinGroup is lost."""
    world.kafka.faults.rule(KafkaFaults.JOIN, "closeafter")
    victim(world).crash()
    if world.kafka.faults.caught(20) is None:
        world.kafka.faults.clear()
        raise Missed("nobody joined")


# Records


@deed("aborted")
def aborted(world):
    """Aborted transactions are the last of the log, in all partitions, behind blocks that are made again."""
    world.producer.pause()
    try:
        rules = [member.proxy.arm("lose") for member in world.members]
        world.producer.transaction(world.direct, 10, aborts=False)
        world.producer.transaction(world.direct, 10, aborts=True)
        isCaught = any([rule.caught.wait(2) for rule in rules])
        for member in world.members:
            member.crash()
            member.proxy.disarm()
        for rule in rules:
            rule.release.set()
        time.sleep(world.random.uniform(0.5, 3))
    finally:
        world.producer.go_on()
    if not isCaught:
        raise Missed("no insert was under way")


@deed("topic-made-again")
def topic_made_again(world):
    """A topic is deleted and made again with a longer log while a member of its own reads it: the member says so, or its rows
    are right."""
    name = "again%d" % len(world.gone)
    world.create_topics(name)
    world.create_table(name)
    world.feed(name, 0, 500)
    member = world.member("reader-" + name, topic=name)
    world.gone.append(member)
    try:
        outcome = made_again(world, name, member)
    finally:
        member.kill()
    world.note("topic-made-again: " + outcome)
    if outcome not in ("said", "right"):
        world.complain("topic-made-again: " + outcome)


def made_again(world, name, member):
    def rows(condition):
        return int(world.front("SELECT count() FROM %s WHERE %s" % (name, condition)))

    if not wait_until(lambda: rows("id < 500") == 500, 60):
        return "the first 500 records did not come"
    world.delete_topic(name)
    time.sleep(world.random.choice([0, 0.3, 2]))
    world.create_topics(name)
    world.feed(name, 500, 2000)
    wait_until(lambda: member.said("stands still") or member.process.poll() is not None or rows("id >= 500") == 2000, 60)
    time.sleep(2)
    counts = tuple(map(int, world.front("SELECT countIf(id < 500), uniqExactIf(id, id < 500), countIf(id >= 500), "
                                        "uniqExactIf(id, id >= 500) FROM %s FORMAT TabSeparated" % name).split("\t")))
    if counts[0] != counts[1] or counts[2] != counts[3]:
        return "rows are doubled: %s" % (counts,)
    if counts == (500, 500, 2000, 2000):
        return "right"
    if member.said("stands still") or member.process.poll() is not None:
        return "said"
    return "silence: %d of 2000 rows" % counts[2]


def wait_until(condition, seconds):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False
