"""Members that come and go, stand still, or are there twice."""
import signal, time
from ..servers import child
from .deed import catch_insert, deed, victim, visitor


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
