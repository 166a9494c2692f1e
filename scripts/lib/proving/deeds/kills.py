"""SIGKILL, at random and at named moments."""
import signal, time
from .deed import Missed, catch_commit, catch_insert, deed, victim, visitor


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
    instance = catch_commit(world, action, seconds)
    member = next((each for each in world.members if each.instance == instance), None)
    if member is None:
        raise Missed("the commit was none of a member's")
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
    if not second.caught.wait(20):
        raise Missed("no insert came")
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
