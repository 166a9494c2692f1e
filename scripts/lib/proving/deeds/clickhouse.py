"""ClickHouse, and what its answers can be."""
import time
from .deed import catch_insert, deed


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
