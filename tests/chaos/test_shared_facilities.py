"""Two workers share the facilities; they are killed in the middle of solves and of a rebalance.

What they decide together is what one worker decides that nothing disturbs, each decision once.
"""

import random
import signal
import time
from collections import Counter, defaultdict

import pytest

from streams.agents.assignment import facility_partition
from tests import streams_event as a
from tests.agents_world import World
from tests.desk_world import decided, desk_with

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.integration,
    pytest.mark.timeout(900),
    # The stack's servers outlive the object that started them, on purpose.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SITES = ("Site-0", "Site-1", "Site-2", "Site-3", "Site-4", "Site-5")
INTERVALS = 12
WORKLOADS = 12


def test_workers_killed_in_solves_and_in_a_rebalance_decide_as_one_undisturbed(world: World) -> None:
    assert len({facility_partition(name) for name in SITES}) > 1
    chance = random.Random(1)
    master = [a.customer(), *(a.facility(name) for name in SITES)]
    master += [a.miners(f"{name}-asic", name) for name in SITES] + [a.gpus(f"{name}-gpu", name) for name in SITES]
    markets = [a.tick(), a.gpu_tick(), a.network(), a.price()]
    prices = [a.price(300 * n, chance.uniform(20, 150)) for n in range(1, INTERVALS)]
    # Asked for after the last interval, so that where they wait changes no decision.
    asked = [a.submit(f"wl-{n}", 300 * INTERVALS, facility_id=None, gpus=4) for n in range(WORKLOADS)]
    expected, _ = decided(desk_with(*master, *markets, *prices))

    def made() -> int:
        return len(world.values("allocations.decisions"))

    def wait_for(count: int) -> None:
        world.wait(made, lambda seen: seen >= count)

    world.send(*master, *markets, *prices[: INTERVALS // 2], *asked[: WORKLOADS // 2])
    world.start(0)
    wait_for(4)
    world.start(1)  # a rebalance while the first solves what it is behind with
    wait_for(len(SITES) * 2)
    time.sleep(chance.uniform(0, 3))  # wherever the two are
    world.end(signal.SIGKILL, 1)
    world.start(1)
    world.send(*asked[WORKLOADS // 2 :], *prices[INTERVALS // 2 :])
    wait_for(len(SITES) * INTERVALS // 2 + 2)
    world.end(signal.SIGKILL, 0)  # for good: the other takes over
    world.wait(made, lambda seen: seen >= len(expected.decisions))
    world.wait(lambda: len(world.events("workloads.transitions")), lambda seen: seen >= 2 * WORKLOADS)

    found = world.events("allocations.decisions")
    by_id = {d.decision_id: d for d in found}
    assert Counter(d.decision_id for d in found) == Counter(d.decision_id for d in expected.decisions)
    assert by_id == {d.decision_id: d for d in expected.decisions}
    assert len(world.events("allocations.snapshots")) == len(found)
    assert Counter(r.request.event_id for r in world.events("workloads.routed")) == Counter(r.event_id for r in asked)
    versions = defaultdict(list)
    for step in world.events("workloads.transitions"):
        versions[step.workload_id].append(step.version)
    assert versions == {request.workload_id: [1, 2] for request in asked}
    assert world.events("audit.events") == []
