"""As fast as the agents decide: every plan is obeyed in the interval that it is for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from projections.table import Database
from schemas.events import CommandKind, DecisionMethod
from tests.demo_world import DEADLINE_S, price_file, running_demo

pytestmark = pytest.mark.integration

HOURS = 1
# Cheap and dear by turns, so that miners are turned on and off whatever the simulated market does.
PRICES = [20.0] * 4 + [2000.0] * 4 + [20.0] * 4
# Recent, as TimescaleDB's retention counts from the wall clock.
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
INTERVAL = timedelta(minutes=5)
_MINUTE = timedelta(minutes=1)


def test_devices_obey_each_plan_in_its_interval(tmp_path: Path) -> None:
    end = START + timedelta(hours=HOURS)
    fleet = ("--miners", "40", "--gpus", "8", "--speed", "0", "--outages", "0", "--lockstep")
    file = price_file(tmp_path, START, PRICES)
    replay = ("--replay", str(file), "--replay-point", "HB_WEST", "--start", START.isoformat())
    with running_demo(tmp_path / "home", *fleet, *replay) as world:
        world.await_rows(
            Database.TIMESCALE,
            "SELECT max(observed_at) FROM metrics",
            lambda rows: rows[0][0] is not None and rows[0][0] >= end - _MINUTE,
            DEADLINE_S,
        )
        plans = {
            (decision.facility_id, decision.interval_start)
            for _, decision in world.committed("allocations.decisions")
            if decision.method is DecisionMethod.PLAN
        }
        facilities = {facility for facility, _ in plans}
        intervals = [START + n * INTERVAL for n in range(1, HOURS * 12)]
        assert facilities == {"Canada-1", "Texas-1", "Texas-2"}
        assert {(facility, at) for facility in facilities for at in intervals} <= plans
        commands = [command for _, command in world.committed("allocations.commands")]
        # The interval of the start is not waited for.
        modes = [c for c in commands if c.kind is CommandKind.SET_POWER_MODE and c.issued_at >= START + INTERVAL]
        reported = {
            (group, bucket): set(found)
            for group, bucket, found in world.query(
                Database.TIMESCALE,
                "SELECT resource_group_id, time_bucket('1 minute', observed_at), array_agg(DISTINCT power_mode) "
                "FROM metrics WHERE kind = 'ASIC' GROUP BY 1, 2",
            )
        }
    checked = 0
    groups = {command.resource_group_id for command in modes}
    for group in groups:
        told = sorted((c for c in modes if c.resource_group_id == group), key=lambda command: command.issued_at)
        for command, following in zip(told, [*told[1:], None], strict=True):
            # A plan's are obeyed two minutes into its interval, those of a tick in it two minutes into the next.
            first = command.issued_at.replace(second=0) + INTERVAL + 3 * _MINUTE
            last = min(following.issued_at if following else end, command.hold_until or end) - _MINUTE
            bucket = first
            while bucket < last.replace(second=0):
                assert reported[group, bucket] == {str(command.power_mode)}, (command, bucket)
                bucket += _MINUTE
                checked += 1
    assert checked
