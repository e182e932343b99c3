"""`hcp simulate` on a real broker and registry."""

import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from schemas import events as e
from schemas import rule
from schemas.catalog import TOPICS
from schemas.columnar import ColumnarDecoder
from tests.agents_world import DEADLINE_S, World
from tests.hcp_command import hcp, running_hcp, so_far
from tests.simulators_world import set_mode, workload_command

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
FLEET = ("--miners", "40", "--gpus", "48", "--speed", "0")


def _span(start: datetime, minutes: int) -> tuple[str, ...]:
    return ("--start", start.isoformat(), "--until", (start + timedelta(minutes=minutes)).isoformat())


def _gaps(world: World) -> set[timedelta]:
    """What lies between the readings of each ASIC, in order of the log."""
    by_device: dict[str, list[datetime]] = {}
    for reading in world.events("telemetry.asic"):
        by_device.setdefault(reading.device_id, []).append(reading.observed_at)
    return {later - earlier for times in by_device.values() for earlier, later in pairwise(times)}


def test_a_simulated_span_is_on_the_topics_whole_and_within_the_rules(world: World) -> None:
    done = hcp(world, "simulate", *FLEET, *_span(START, 15))
    assert done.returncode == 0, done.stderr
    counts: Counter[str] = Counter()
    for entry in TOPICS:
        batch = ColumnarDecoder(entry, world.codec.registry).decode(world.values(entry.name))
        assert batch.rejects == ()
        assert rule.violations(entry.event_class, batch.frame) == ()
        counts[entry.name] = batch.frame.height
    # 15 minutes hold 60 periods of 15 s; 15 ticks of BTC and 3 of GPU-hours; two points at 5 minutes and one by the
    # hour, of which there are four weeks before; and for the two with a day-ahead market the hours from noon to 06:00
    # UTC, when the operating day ends.
    assert counts["telemetry.asic"] == 60 * 40
    assert counts["telemetry.gpu"] == 60 * 48
    assert counts["market.ticks"] == 15 + 3
    assert counts["grid.prices"] == 2 * 3 + 1 + 28 * 24 + 2 * 18
    assert counts["registry.facilities"] == 3
    assert counts["registry.customers"] == 3
    assert f"{sum(counts.values())} events delivered" in done.stderr


def test_each_device_reports_every_15_s_in_order(world: World) -> None:
    assert hcp(world, "simulate", *FLEET, *_span(START, 5)).returncode == 0
    assert len(world.values("telemetry.asic")) == 40 * 20
    assert _gaps(world) == {timedelta(seconds=15)}


def test_a_second_run_goes_on_where_the_log_ends(world: World) -> None:
    assert hcp(world, "simulate", *FLEET, *_span(START, 5)).returncode == 0
    again = hcp(world, "simulate", *FLEET, *_span(START, 10))
    assert "going on from there" in again.stderr
    readings = world.events("telemetry.asic")
    assert len({(r.device_id, r.observed_at) for r in readings}) == len(readings) == 40 * 40
    ids = [event.event_id for event in world.events("market.ticks")]
    assert len(set(ids)) == len(ids) == 10 + 2


def test_a_run_whose_end_the_log_has_passed_says_so(world: World) -> None:
    assert hcp(world, "simulate", *FLEET, *_span(START, 5)).returncode == 0
    refused = hcp(world, "simulate", *FLEET, *_span(START, 5))
    assert refused.returncode == 1
    assert "nothing to simulate" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_devices_obey_the_commands_that_the_log_holds(world: World) -> None:
    world.send(set_mode("texas-1-s21", e.PowerMode.OFF, START), workload_command(at=START, duration_s=240))
    assert hcp(world, "simulate", *FLEET, *_span(START, 6)).returncode == 0
    groups = {reading.power_mode for reading in world.events("telemetry.asic") if "texas-1-s21" in reading.device_id}
    assert groups == {e.PowerMode.OFF}
    held = {r.device_id for r in world.events("telemetry.gpu") if r.workload_id == "wl-1"}
    assert len(held) == 8
    reports = [r.action for r in world.events("workloads.requests") if r.workload_id == "wl-1"]
    assert reports == [e.WorkloadAction.REPORT_STARTED, e.WorkloadAction.REPORT_COMPLETED]


def test_devices_obey_a_command_that_comes_while_they_run(world: World) -> None:
    with running_hcp(world, "simulate", "--miners", "40", "--gpus", "48", "--speed", "60") as command:
        newest = world.wait(lambda: so_far(world, "telemetry.asic"), bool)[-1].observed_at
        world.send(set_mode("texas-1-s21", e.PowerMode.OFF, newest, valid_s=86_400))

        def modes() -> set[e.PowerMode]:
            readings = so_far(world, "telemetry.asic")
            return {reading.power_mode for reading in readings if reading.resource_group_id == "texas-1-s21"}

        world.wait(modes, lambda seen: e.PowerMode.OFF in seen)
        assert command.ended_by(signal.SIGTERM) == 0, command.talk
        assert "events delivered" in command.talk


def test_event_time_starts_a_day_ago_and_stays_behind_the_wall_clock(world: World) -> None:
    before = datetime.now(UTC)
    with running_hcp(world, "simulate", "--miners", "40", "--gpus", "48", "--speed", "60") as command:
        world.wait(lambda: so_far(world, "telemetry.asic"), bool)
        assert command.ended_by(signal.SIGTERM) == 0, command.talk
    times = [reading.observed_at for reading in world.events("telemetry.asic")]
    now = datetime.now(UTC)
    # It starts at a whole quarter of an hour, and the first device reports within 15 s.
    assert before - timedelta(hours=24, minutes=15) <= min(times) <= now - timedelta(hours=24, seconds=-15)
    assert max(times) < now


def test_a_replay_puts_recorded_prices_on_the_topic_and_ends_with_its_file(world: World, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    rows = ["interval_start_utc,hb_west_rtm_usd_per_mwh"]
    rows += [f"{(START + timedelta(minutes=15 * k)).isoformat()},{price}" for k, price in enumerate((20, 9000, -30))]
    file.write_text("\n".join([*rows, "soon,1"]))
    done = hcp(world, "simulate", *FLEET, "--replay", file)
    assert done.returncode == 0, done.stderr
    assert "line 5: interval_start_utc: expected an ISO 8601 time, got 'soon'" in done.stderr
    west = [
        (price.interval_start, price.price_usd_mwh)
        for price in world.events("grid.prices")
        if price.settlement_point == "HB_WEST" and price.market is e.GridMarket.REAL_TIME
    ]
    assert west == [(START + timedelta(minutes=15 * k), usd) for k, usd in enumerate((20.0, 9000.0, -30.0))]
    assert len(world.events("telemetry.asic")) == 40 * 45 * 4


def test_a_broker_that_is_killed_is_waited_for_and_no_reading_is_lost(world: World) -> None:
    with running_hcp(world, "simulate", "--miners", "40", "--gpus", "48", "--speed", "60") as command:
        world.wait(lambda: len(so_far(world, "telemetry.asic")), lambda seen: seen > 0)
        world.stack.kill("kafka")
        world.stack.up(only=["kafka", "registry"])
        there = len(so_far(world, "telemetry.asic"))
        world.wait(lambda: len(so_far(world, "telemetry.asic")), lambda seen: seen > there + 400)
        assert command.ended_by(signal.SIGTERM) == 0, command.talk
    assert _gaps(world) == {timedelta(seconds=15)}


def test_missing_topics_are_named_with_the_command_that_makes_them(world: World) -> None:
    admin = AdminClient(dict(world.kafka))
    for future in admin.delete_topics(["market.ticks"]).values():
        future.result(DEADLINE_S)
    world.wait(lambda: set(admin.list_topics(timeout=DEADLINE_S).topics), lambda seen: "market.ticks" not in seen)
    refused = hcp(world, "simulate", *FLEET, *_span(START, 5))
    assert refused.returncode == 1
    assert "market.ticks: `hcp schemas register` creates them" in refused.stderr
