"""The whole system runs while its workers are killed with -9: then the log, the windows and the tables are compared."""

import random
import threading
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from projections.table import Database
from schemas.events import FleetWindow
from tests.demo_world import FLEET, running_demo

pytestmark = pytest.mark.chaos

KILLS = 6
WINDOW = timedelta(seconds=15)
GRACE = timedelta(seconds=15)
TELEMETRY = ("telemetry.asic", "telemetry.gpu")
VICTIMS = ("rollup", "agents", "forecast", "project-timescale", "project-postgres")


def start_of_window(time_: datetime) -> datetime:
    return datetime.fromtimestamp(time_.timestamp() // 15 * 15, time_.tzinfo)


def test_killed_workers_leave_every_number_right(tmp_path: Path) -> None:
    rng = random.Random(3)
    with running_demo(tmp_path / "home", *FLEET) as world:
        history = "SELECT count(*) FROM allocation_history"
        world.await_rows(Database.TIMESCALE, history, lambda rows: rows[0][0] > 0)
        deaths = Counter[str]()
        for number in range(KILLS):
            victim = VICTIMS[number % len(VICTIMS)]
            world.await_alive(victim)
            # When the kill comes is left to chance: in the middle of a start, of a batch, of a commit.
            threading.Event().wait(rng.uniform(0.2, 3.0))
            world.kill(victim)
            deaths[victim] += 1
        before = world.query(Database.TIMESCALE, history)[0][0]
        world.await_rows(Database.TIMESCALE, history, lambda rows: rows[0][0] > before + 9)
        world.workers.stop("simulator")
        assert {name: count for name, count in world.workers.deaths.items() if count} == deaths

        expected: dict[tuple[str, int, str, str, datetime], list[float]] = defaultdict(list)
        stream_time: dict[tuple[str, int], datetime] = {}
        total, power = 0, 0.0
        for name in TELEMETRY:
            for partition, event in world.committed(name):
                window = start_of_window(event.observed_at)
                expected[name, partition, event.facility_id, event.resource_group_id, window].append(event.power_w)
                place = (name, partition)
                stream_time[place] = max(stream_time.get(place, event.observed_at), event.observed_at)
                total += 1
                power += event.power_w
        closed = {
            key: powers for key, powers in expected.items() if key[4] + WINDOW + GRACE <= stream_time[key[0], key[1]]
        }
        world.await_rows(Database.TIMESCALE, "SELECT count(*) FROM metrics", lambda rows: rows[0][0] >= total)
        world.await_rows(
            Database.TIMESCALE, "SELECT count(*) FROM fleet_windows", lambda rows: rows[0][0] >= len(closed)
        )

        # Behind the last events stand markers of transactions, which are no lag.
        world.await_without_lag("agents")

        windows: list[FleetWindow] = [event for _, event in world.committed("fleet.windows")]
        found = {
            (w.source_topic, w.source_partition, w.facility_id, w.resource_group_id, w.window_start): w for w in windows
        }
        assert len(found) == len(windows), "a window was committed twice"
        assert set(found) == set(closed)
        assert {key: w.readings for key, w in found.items()} == {key: len(powers) for key, powers in closed.items()}
        for key, window_event in found.items():
            assert window_event.power_w_sum == pytest.approx(sum(closed[key]), abs=1e-5)
        counted, summed = world.query(Database.TIMESCALE, "SELECT count(*), sum(power_w) FROM metrics")[0]
        assert counted == total
        assert summed == pytest.approx(power, rel=1e-12)

        decisions = [event for _, event in world.committed("allocations.decisions")]
        by_interval = Counter((d.facility_id, d.interval_start, d.decision_id) for d in decisions)
        assert set(by_interval.values()) == {1}, "a decision was committed twice"
        for facility in {d.facility_id for d in decisions}:
            starts = sorted({d.interval_start for d in decisions if d.facility_id == facility})
            assert {b - a for a, b in pairwise(starts)} <= {timedelta(minutes=5)}, facility
