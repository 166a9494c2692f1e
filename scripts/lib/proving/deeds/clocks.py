"""Hosts of a group may differ by a minute."""
import signal, time
from .deed import catch_insert, deed


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
