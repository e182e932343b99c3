"""The archive worker is killed with -9 at random moments: every record is in the archive exactly once."""

import random
import signal
import threading

import pytest

from tests.archive_world import ArchiveWorld
from tests.rollup_world import reading

pytestmark = pytest.mark.chaos

KILLS = 6
ROUNDS = 60
DEVICES = 24
DAY_S = 24 * 3600


def test_killed_workers_lose_and_double_no_record(archive_world: ArchiveWorld) -> None:
    world, rng = archive_world.world, random.Random(11)
    expected: list[tuple[int, int, str, float]] = []
    next_offset = [0, 0, 0, 0]
    kill_after = set(rng.sample(range(5, ROUNDS), KILLS))
    archive_world.start()
    for number in range(ROUNDS):
        for device in range(DEVICES):
            partition, name, power_w = device % 4, f"chaos-{device}", rng.randrange(1000, 4000) / 2
            # Batches span three dates, which come in any order.
            world.send_event(
                "telemetry.asic", reading(rng.randrange(3) * DAY_S + number, name, power_w=power_w), partition
            )
            expected.append((partition, next_offset[partition], name, power_w))
            next_offset[partition] += 1
        if number % 7 == 0:
            world.send("telemetry.asic", b"\x00bad", number % 4)
            next_offset[number % 4] += 1
        world.flush()
        if number in kill_after:
            if rng.random() < 0.5:
                # Half of the kills hit a worker that is known to have written; the others hit it wherever it is.
                archive_world.await_following("telemetry.asic", sum(next_offset) // 2)
            threading.Event().wait(rng.random() / 5)
            assert archive_world.end(signal.SIGKILL) == -signal.SIGKILL
            archive_world.start()
    archive_world.await_following("telemetry.asic", sum(next_offset))
    assert archive_world.end(signal.SIGTERM) == 0
    rows = archive_world.rows_of("telemetry.asic").select("_partition", "_offset", "device_id", "power_w").rows()
    assert sorted(rows) == sorted(expected)
