"""The whole simulation: deterministic, resumable, and within the rules of the contract."""

import io
from collections import Counter
from datetime import UTC, datetime

import fastavro
import polars as pl
import pytest

from schemas import events as e
from schemas import rule
from schemas.catalog import topic
from schemas.reject import ROW
from simulators.encoding import encoder
from simulators.fleet import DEVICE
from simulators.identity import event_id
from simulators.timeline import to_ms
from tests.simulators_world import (
    START,
    START_MS,
    a_simulation,
    emitted,
    set_mode,
    slices,
    wire,
    workload_command,
)


def test_the_same_seed_start_and_commands_give_the_same_bytes() -> None:
    def history() -> list[tuple[str, bytes | str]]:
        simulation = a_simulation(seed=7)
        found = slices(simulation, 300)
        simulation.obey(set_mode())
        simulation.obey(workload_command())
        found += slices(simulation, 900)
        simulation.obey(workload_command(e.CommandKind.STOP_WORKLOAD, at=START))
        simulation.obey(set_mode(mode=e.PowerMode.TURBO, valid_s=6000))
        return wire(found + slices(simulation, 900))

    assert history() == history()


def test_another_seed_gives_another_history() -> None:
    assert wire(slices(a_simulation(seed=1), 60)) != wire(slices(a_simulation(seed=2), 60))


def test_a_simulation_that_starts_in_the_middle_emits_the_same_prices_blocks_and_arrivals() -> None:
    whole = slices(a_simulation(is_new=False), 3600)
    later = slices(a_simulation(start_ms=START_MS + 1_800_000, is_new=False), 1800)
    for name in ("market.ticks", "network.stats", "grid.prices", "grid.signals", "workloads.requests"):
        middle = [entry.event for part in whole[600:] for entry in part.entries if entry.topic.name == name]
        assert emitted(later, name) == middle, name


def test_counts_per_topic_are_as_the_rates_say() -> None:
    found = slices(a_simulation(), 3600)
    counts = Counter(entry.topic.name for part in found for entry in part.entries)
    readings = {t.name: sum(f.height for p in found for u, f in p.readings if u is t) for t, _ in found[0].readings}
    assert readings == {"telemetry.asic": 60 * 240, "telemetry.gpu": 80 * 240}
    assert counts["market.ticks"] == 60 + 12
    real_time = [price for price in emitted(found, "grid.prices") if price.market is e.GridMarket.REAL_TIME]
    live = [price for price in real_time if to_ms(price.observed_at) >= START_MS]
    # ERCOT's two points every 5 minutes, Alberta's pool once, and four weeks of it before.
    assert len(live) == 2 * 12 + 1
    assert {price.settlement_point for price in real_time} - {price.settlement_point for price in live} == set()
    assert len(real_time) - len(live) == 28 * 24
    # The opening block and about six more.
    assert 1 <= counts["network.stats"] <= 16


def test_event_ids_are_made_of_kind_key_and_time_and_are_unique() -> None:
    entries = [entry for part in slices(a_simulation(), 1800) for entry in part.entries]
    assert len({entry.event.event_id for entry in entries}) == len(entries)
    tick = next(entry for entry in entries if entry.topic.name == "market.ticks")
    assert tick.event.event_id == event_id("market.ticks", tick.event.instrument, tick.at_ms)


def test_entries_are_in_order_of_event_time_and_within_their_slice() -> None:
    parts = slices(a_simulation(), 1800)
    for part in parts[1:]:
        times = [entry.at_ms for entry in part.entries]
        assert times == sorted(times)
        assert all(part.start_ms <= at_ms < part.end_ms for at_ms in times)


def test_readings_hold_the_rules_of_the_contract() -> None:
    simulation = a_simulation()
    simulation.obey(workload_command(gpus=24))
    parts = slices(simulation, 300)
    simulation.obey(set_mode())
    for part in parts + slices(simulation, 300):
        for kind, frame in part.readings:
            assert rule.violations(kind.event_class, frame.with_row_index(ROW)) == ()
            assert set(frame.columns) == {DEVICE, *(field["name"] for field in kind.schema["fields"])}


def test_a_new_log_opens_with_a_block_day_ahead_prices_and_a_queue() -> None:
    first = slices(a_simulation(), 3)
    assert len(emitted(first, "network.stats")) >= 1
    assert any(price.market is e.GridMarket.DAY_AHEAD for price in emitted(first, "grid.prices"))
    assert len(emitted(first, "workloads.requests")) >= 2
    again = slices(a_simulation(start_ms=START_MS + 3000, is_new=False), 3)
    assert all(price.market is e.GridMarket.REAL_TIME for price in emitted(again, "grid.prices"))


def test_set_points_are_taken_up_from_the_log_the_newest_of_a_group_holds() -> None:
    simulation = a_simulation(is_new=False)
    commands = [set_mode(mode=mode, at=datetime(2026, 1, 15, hour, tzinfo=UTC)) for hour, mode in
                ((9, e.PowerMode.TURBO), (10, e.PowerMode.OFF))]  # fmt: skip
    simulation.restore(commands, [])
    assert simulation.asics.mode("texas-1-s21") is e.PowerMode.OFF
    frames = [frame for part in slices(simulation, 15) for t, frame in part.readings if t.name == "telemetry.asic"]
    group = pl.concat(frames).filter(pl.col("resource_group_id") == "texas-1-s21")
    # Settled already: nothing ramps down that was off for two hours.
    assert group["power_w"].max() < 25  # type: ignore[operator]


def test_a_group_that_the_log_turned_on_minutes_ago_is_still_starting() -> None:
    simulation = a_simulation(is_new=False)
    commands = [set_mode(mode=mode, at=datetime(2026, 1, 15, 11, minute, tzinfo=UTC)) for minute, mode in
                ((0, e.PowerMode.OFF), (58, e.PowerMode.NORMAL))]  # fmt: skip
    simulation.restore(commands, [])
    frames = [frame for part in slices(simulation, 15) for t, frame in part.readings if t.name == "telemetry.asic"]
    group = pl.concat(frames).filter(pl.col("resource_group_id") == "texas-1-s21")
    assert group["uptime_s"].is_between(120, 135).mean() > 0.9  # type: ignore[operator]
    assert group["hashrate_ths"].median() < 40  # type: ignore[operator]


@pytest.mark.parametrize("name", ["telemetry.asic", "telemetry.gpu"])
def test_the_fast_encoder_writes_what_the_plain_one_writes(name: str) -> None:
    simulation = a_simulation()
    simulation.obey(workload_command())
    slices(simulation, 60)
    frame = {t.name: f for t, f in simulation.advance().readings}[name]
    schema = fastavro.parse_schema(topic(name).schema)
    expected = []
    for record in frame.drop(DEVICE).to_dicts():
        out = io.BytesIO(b"\x00\x00\x00\x01\x02")
        out.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(out, schema, record, strict=True)
        expected.append(out.getvalue())
    assert encoder(topic(name), 258)(frame) == expected
    fleet = simulation.asics.fleet if name == "telemetry.asic" else simulation.gpus.fleet
    assert encoder(topic(name), 258, fleet.identity)(frame.reverse()) == expected[::-1]
