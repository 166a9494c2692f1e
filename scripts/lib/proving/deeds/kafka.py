"""The broker, the way to it, and its answers to commits and joins."""
import time
from ..servers import KafkaFaults
from .deed import Missed, catch_commit, deed, victim


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


@deed("commit-held", needs=("faults",))
def commit_held(world):
    """A commit reaches the broker seconds later."""
    catch_commit(world, "hold", world.random.choice([0.3, 0.7, 2, 4]))


@deed("commit-lost", needs=("faults",))
def commit_lost(world):
    """The connection breaks instead of a commit: librdkafka sends it again by itself."""
    catch_commit(world, "close")


@deed("commit-answer-lost", needs=("faults",))
def commit_answer_lost(world):
    """The connection breaks after a commit was written, before its answer."""
    catch_commit(world, "closeafter")


@deed("commit-answer-held", needs=("faults",))
def commit_answer_held(world):
    """A commit's answer comes seconds later."""
    catch_commit(world, "holdresp", world.random.choice([0.3, 0.7, 2, 4]))


@deed("commit-late", needs=("faults",))
def commit_late(world):
    """A commit is not answered, and a copy of it lands seconds later."""
    catch_commit(world, "lag", world.random.choice([0.3, 1, 3, 6]))


@deed("commit-refused", needs=("faults",))
def commit_refused(world):
    """The broker refuses a commit, with one of Kafka's codes."""
    catch_commit(world, "err", code=world.random.choice([7, 14, 15, 16, 22, 25, 27]), count=world.random.choice([1, 3]))


@deed("join-lost", needs=("faults",))
def join_lost(world):
    """A member restarts, and the answer to its JoinGroup is lost."""
    world.kafka.faults.rule(KafkaFaults.JOIN, "closeafter")
    victim(world).crash()
    if world.kafka.faults.caught(20) is None:
        world.kafka.faults.clear()
        raise Missed("nobody joined")
