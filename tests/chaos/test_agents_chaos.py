"""The agents are killed at random moments; afterwards the log has each decision once and none is missing."""

import random
import signal
import time
from collections import defaultdict
from functools import partial
from operator import eq

import pytest

from schemas import events as e
from streams.domain.allocation import solve
from tests import streams_event as a
from tests.agents_world import World

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.integration,
    pytest.mark.timeout(1200),
    # The stack's servers outlive the object that started them, on purpose.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

INTERVALS = 24


def decisions_of(intervals: int) -> int:
    """The first decision is a plan; each interval behind it has a dispatch and a plan."""
    return 2 * intervals - 1


@pytest.mark.parametrize("seed", [1])
def test_killed_worker_misses_no_decision_and_makes_none_twice(world: World, seed: int) -> None:
    chance = random.Random(seed)
    world.send(a.facility(), a.miners(), a.gpus(), a.customer(), a.tick(), a.gpu_tick(), a.network(), a.price())
    world.start()
    sent = 1
    while sent < INTERVALS:
        if chance.random() < 0.7:
            # Mostly a worker that decides is killed, sometimes one that starts or recovers.
            world.wait(lambda: len(world.values("allocations.decisions")), partial(eq, decisions_of(sent)))
        for _ in range(min(chance.randint(3, 8), INTERVALS - sent)):
            moment = sent * 300
            world.send(a.tick(moment), a.window(moment), a.price(moment, chance.uniform(20, 150)))
            world.send(a.submit(f"wl-{sent}", moment + 5, gpus=chance.choice([2, 4, 8])))
            sent += 1
            time.sleep(chance.uniform(0, 0.3))
        # Between reading, solving and writing: wherever it is.
        time.sleep(chance.uniform(0, 0.5))
        world.end(signal.SIGKILL)
        world.start()
    world.wait(lambda: len(world.values("allocations.decisions")), lambda seen: seen >= decisions_of(INTERVALS))
    world.end(signal.SIGKILL)
    copies = defaultdict(set)
    for decision, value in zip(
        world.events("allocations.decisions"), world.values("allocations.decisions"), strict=True
    ):
        copies[decision.decision_id].add(value)
    decisions = world.events("allocations.decisions")
    both = (e.DecisionMethod.DISPATCH, e.DecisionMethod.PLAN)
    assert [(d.interval_start, d.method) for d in decisions] == [
        (a.at(0), e.DecisionMethod.PLAN),
        *((a.at(300 * n), method) for n in range(1, INTERVALS) for method in both),
    ]
    assert all(len(values) == 1 for values in copies.values())
    snapshots = {s.decision_id: s for s in world.events("allocations.snapshots")}
    assert [solve(snapshots[d.decision_id]) for d in decisions] == decisions
    versions = defaultdict(list)
    for step in world.events("workloads.transitions"):
        versions[step.workload_id].append(step.version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    assert set(versions) == {f"wl-{n}" for n in range(1, INTERVALS)}


def test_worker_goes_on_after_the_broker_came_back(world: World) -> None:
    world.send(a.facility(), a.miners(), a.gpus(), a.customer(), a.tick(), a.gpu_tick(), a.network(), a.price())
    world.start()
    world.wait(lambda: world.events("allocations.decisions"), lambda seen: len(seen) == 1)
    world.stack.kill("kafka")
    time.sleep(3)
    world.stack.up(only=["kafka", "registry"])
    world.send(a.tick(300), a.price(300))

    def restart_if_dead() -> list[object]:
        # What a supervisor does; a worker that gives up has to say so by its exit status.
        code = world.process.poll()
        if code is not None:
            assert code != 0
            world.start()
        return world.events("allocations.decisions")

    decisions = world.wait(restart_if_dead, lambda seen: len(seen) >= decisions_of(2))
    assert len(decisions) == decisions_of(2)
