"""The projection worker is killed with -9 at random moments: every reading is in `metrics` exactly once."""

import random
import signal

import pytest

from tests.projection_world import ProjectionWorld
from tests.rollup_world import reading

pytestmark = pytest.mark.chaos

KILLS = 6
DEVICES = 25
ROUNDS = 60


def test_killed_workers_lose_and_double_no_row(timescale_world: ProjectionWorld) -> None:
    world, rng = timescale_world, random.Random(7)
    expected = dict.fromkeys((f"chaos-{d}" for d in range(DEVICES)), 0.0)
    kill_after = set(rng.sample(range(5, ROUNDS), KILLS))
    count = "SELECT count(*) FROM metrics WHERE device_id LIKE 'chaos-%'"
    world.start()
    for number in range(ROUNDS):
        for device in range(DEVICES):
            # Multiples of 1/8 add up exactly in any order.
            event = reading(number * 15, f"chaos-{device}", power_w=rng.randrange(0, 32_000) / 8)
            world.send_event("telemetry.asic", event, device % 4)
            expected[event.device_id] += event.power_w
        world.flush()
        if number in kill_after:
            seen = number
            if rng.random() < 0.5:
                # Half of the kills hit a worker that is known to have written; the others hit it wherever it is.
                world.await_rows(count, lambda rows, least=seen * DEVICES // 2: rows[0][0] >= least)  # type: ignore[misc]
            assert world.end(signal.SIGKILL) == -signal.SIGKILL
            world.start()
    world.await_rows(count, lambda rows: rows[0][0] >= ROUNDS * DEVICES)
    rows = world.query(
        "SELECT device_id, count(*), sum(power_w) FROM metrics WHERE device_id LIKE 'chaos-%' GROUP BY 1 ORDER BY 1"
    )
    assert rows == sorted((device, ROUNDS, power) for device, power in expected.items())
