"""The rollup is killed with -9 at random moments: every reading is in exactly one committed window."""

import random
import signal
from collections import defaultdict

import pytest

from tests.rollup_world import RollupWorld, reading, settled
from tests.streams_event import at

pytestmark = pytest.mark.chaos

KILLS = 8
DEVICES = 40
ROUNDS = 120


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_workers_lose_and_double_no_reading(rollup_world: RollupWorld, seed: int) -> None:
    world, rng = rollup_world, random.Random(seed)
    expected: dict[int, float] = defaultdict(float)
    sent = 0
    kill_after = sorted(rng.sample(range(5, ROUNDS), KILLS))
    world.start()
    for number in range(ROUNDS):
        for device in range(DEVICES):
            # Within the grace of 15 s a reading may come out of order.
            second = number * 5 + rng.uniform(0, 5)
            event = reading(second, f"d-{device}", power_w=rng.randrange(0, 4_000_000) / 1000)
            world.send_reading(event, device % 4)
            expected[device % 4] += event.power_w
            sent += 1
        world.flush()
        if number in kill_after:
            # A kill counts only where the worker had got going: it has written since the last one, or is busy doing so.
            done = kill_after.index(number) + 1
            if done % 2:
                world.emitted(lambda windows, n=number: settled(windows, at(n * 5), 1))  # type: ignore[misc]
            assert world.end(signal.SIGKILL) == -signal.SIGKILL
            world.start()
    world.close_windows(ROUNDS * 5 + 600)
    end = at(ROUNDS * 5 + 15)
    found = [w for w in world.emitted(lambda windows: settled(windows, end, sent)) if w.window_end <= end]
    assert sum(w.readings for w in found) == sent
    assert len({w.event_id for w in found}) == len(found)
    power: dict[int, float] = defaultdict(float)
    for window in found:
        power[window.source_partition] += window.power_w_sum
    assert {p: round(w, 3) for p, w in power.items()} == {p: round(w, 3) for p, w in expected.items()}
