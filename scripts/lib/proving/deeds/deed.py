"""What a deed is, and what several of them do."""
import time
from ..servers import KafkaFaults

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


def catch_commit(world, action, seconds=0.0, code=0, count=1):
    """Waits for somebody's next commit, which is treated so; returns the instance id that it came from."""
    world.kafka.faults.rule(KafkaFaults.COMMIT, action, seconds, code, count)
    instance = world.kafka.faults.caught()
    if instance is None:
        world.kafka.faults.clear()
        raise Missed("no commit came")
    return instance


def wait_until(condition, seconds):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


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
