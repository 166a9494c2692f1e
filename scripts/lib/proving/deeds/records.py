"""What the log itself goes through."""
import time
from .deed import Missed, deed, wait_until


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
