"""Facilities: outages, PUE, what the operator is told of both, and what devices and workloads do without power."""

from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events as e
from simulators.ambient import usual_temp_c
from simulators.fleet import PERIOD_MS, SLICE_MS
from simulators.outage import FAN_FAILURE, FEEDER_TRIP, SELF_COOLED_SHARE, TRANSFORMER_TRIP, Hazard, Outages, Spell
from simulators.overhead import Overhead
from simulators.portfolio import PLANS, SitePlan
from simulators.simulation import Slice
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS, to_datetime, to_ms
from tests.simulators_world import START_MS, a_simulation, an_operator, emitted, set_mode, slices, workload_command

OFTEN = 100.0
SEED = 1
BEHIND = {r.resource_group_id for r in an_operator().resources if r.transformer_id == "texas-1-t1"}
TEXAS = {r.resource_group_id for r in an_operator().resources if r.facility_id == "Texas-1"}
HAZARDS = [FEEDER_TRIP, TRANSFORMER_TRIP, FAN_FAILURE]


@cache
def short_spell(hazard: Hazard, subject: str) -> Spell:
    """The first outage of less than eight minutes, of outages that are a hundred times too many."""
    outages = Outages(hazard, subject, SEED, OFTEN)
    spells = (outages.of_day(START_MS // DAY_MS + n) for n in range(6000))
    return next(spell for spell in spells if spell and spell.end_ms - spell.start_ms < 8 * MINUTE_MS)


@cache
def around(spell: Spell) -> list[Slice]:
    """What happens from a minute before an outage until three after it."""
    simulation = a_simulation(SEED, spell.start_ms - 60_000, is_new=False, outages=OFTEN)
    return slices(simulation, 60 + (spell.end_ms - spell.start_ms) // 1000 + 180)


def readings(found: list[Slice], groups: set[str]) -> pl.DataFrame:
    """When the devices of some groups reported, and their power."""
    columns = ("device_id", "resource_group_id", "observed_at", "power_w")
    whole = pl.concat([frame.select(*columns) for part in found for _, frame in part.readings])
    return whole.filter(pl.col("resource_group_id").is_in(list(groups)))


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda hazard: hazard.name)
def test_outages_are_as_many_and_as_long_as_the_hazard_says(hazard: Hazard) -> None:
    years = 40
    outages = Outages(hazard, "somewhere", SEED, 20.0)
    spells = [spell for day in range(20_000, 20_000 + years * 365) if (spell := outages.of_day(day))]
    expected = 20 * hazard.per_year * years
    # Four standard deviations of a count, and of a mean of exponential lengths.
    assert abs(len(spells) - expected) < 4 * expected**0.5
    mean_h = np.mean([spell.end_ms - spell.start_ms for spell in spells]) / HOUR_MS
    assert mean_h == pytest.approx(hazard.mean_h, rel=4 / expected**0.5 + 0.05)


@settings(max_examples=50)
@given(st.integers(0, 30_000), st.integers(0, 2**31))
def test_an_outage_lies_within_its_day_and_is_found_at_each_moment_of_it(day: int, seed: int) -> None:
    outages = Outages(FEEDER_TRIP, "somewhere", seed, 1e9)
    spell = outages.of_day(day)
    assert spell is not None
    assert day * DAY_MS - SLICE_MS < spell.start_ms < spell.end_ms <= (day + 1) * DAY_MS
    assert spell.start_ms % SLICE_MS == spell.end_ms % SLICE_MS == 0
    assert outages.at(spell.start_ms) == outages.at(spell.end_ms - 1) == spell
    assert outages.at(spell.end_ms) is None
    assert Outages(FEEDER_TRIP, "somewhere", seed, 0.0).of_day(day) is None


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.facility_id)
def test_the_yearly_mean_of_the_pue_at_full_load_is_that_of_the_site(plan: SitePlan) -> None:
    overhead = Overhead(plan.pue_ratio, plan.climate)
    year = [overhead.pue_ratio(1.0, usual_temp_c(plan.climate, hour * HOUR_MS)) for hour in range(8766)]
    assert np.mean(year) == pytest.approx(plan.pue_ratio, abs=1e-4)


@settings(max_examples=50)
@given(st.floats(0, 1.2), st.floats(0, 1.2), st.floats(-40, 45), st.floats(-40, 45))
def test_pue_rises_with_the_heat_and_as_load_falls(load: float, more: float, cold: float, warm: float) -> None:
    overhead = Overhead(PLANS[0].pue_ratio, PLANS[0].climate)
    low, high = sorted((load, more))
    cold, warm = sorted((cold, warm))
    assert 1 < overhead.pue_ratio(high, cold) <= overhead.pue_ratio(low, cold) + 1e-12
    assert overhead.pue_ratio(low, cold) <= overhead.pue_ratio(low, warm)


@pytest.mark.parametrize(
    ("hazard", "subject", "dark"), [(TRANSFORMER_TRIP, "texas-1-t1", BEHIND), (FEEDER_TRIP, "Texas-1", TEXAS)]
)
def test_devices_without_power_say_nothing_and_start_when_it_is_back(
    hazard: Hazard, subject: str, dark: set[str]
) -> None:
    spell = short_spell(hazard, subject)
    found = around(spell)
    miners = readings(found, {group for group in dark if not group.endswith("h100")})
    is_out = pl.col("observed_at").is_between(spell.start_ms, spell.end_ms, closed="left")
    assert miners.filter(is_out).is_empty()
    before = miners.filter(pl.col("observed_at") < spell.start_ms)["power_w"].median()
    back = miners.filter(pl.col("observed_at") >= spell.end_ms).sort("observed_at")
    first = back.filter(pl.col("observed_at") < spell.end_ms + PERIOD_MS)
    assert len(first) == miners["device_id"].n_unique()
    assert first["power_w"].median() < 0.8 * before  # type: ignore[operator]
    # All others report as they would without it.
    others = {r.resource_group_id for r in an_operator().resources} - TEXAS
    calm = a_simulation(SEED, found[0].start_ms, is_new=False, outages=0.0)
    assert readings(found, others).equals(readings(slices(calm, 3 * len(found)), others))


def test_the_operator_is_told_of_an_outage_and_of_its_end() -> None:
    spell = short_spell(TRANSFORMER_TRIP, "texas-1-t1")
    found = around(spell)
    (usual,) = (t.cap_mw for t in an_operator().facilities[1].transformers if t.transformer_id == "texas-1-t1")
    told = [
        (to_ms(f.recorded_at), next(t.cap_mw for t in f.transformers if t.transformer_id == "texas-1-t1"), f.pue_ratio)
        for f in emitted(found, "registry.facilities")
        if f.facility_id == "Texas-1"
    ]
    out, back = (row for row in told if row[0] in (spell.start_ms, spell.end_ms))
    standby_w = sum(r.units * r.idle_power_w for r in an_operator().resources if r.transformer_id == "texas-1-t1")
    assert out[1] == pytest.approx(standby_w * out[2] / 1e6, abs=1e-6)
    assert out[1] >= standby_w * out[2] / 1e6
    assert back[1] == usual
    windows = {
        (to_ms(r.recorded_at), r.resource_group_id): [(to_ms(w.starts_at), to_ms(w.ends_at)) for w in r.maintenance]
        for r in emitted(found, "registry.resources")
        if r.resource_group_id in BEHIND
    }
    for group in BEHIND:
        boot_ms = 5 * MINUTE_MS if group.endswith("h100") else 0
        assert windows[spell.start_ms, group] == [(spell.start_ms, spell.end_ms + boot_ms)]
        if not boot_ms:
            assert windows[spell.end_ms, group] == []


def test_a_transformer_without_fans_carries_its_self_cooled_rating_and_nothing_stops() -> None:
    spell = short_spell(FAN_FAILURE, "canada-1-t1")
    found = around(spell)
    (usual,) = (f for f in an_operator().facilities if f.facility_id == "Canada-1")
    caps = {
        to_ms(f.recorded_at): f.transformers[0].cap_mw
        for f in emitted(found, "registry.facilities")
        if f.facility_id == "Canada-1"
    }
    assert caps[spell.start_ms] == pytest.approx(SELF_COOLED_SHARE * usual.transformers[0].cap_mw, abs=1e-6)
    assert caps[spell.end_ms] == usual.transformers[0].cap_mw
    behind = {r.resource_group_id for r in an_operator().resources if r.transformer_id == "canada-1-t1"}
    assert len(readings(found, behind)) == sum(
        r.units * (found[-1].end_ms - found[0].start_ms) // PERIOD_MS
        for r in an_operator().resources
        if r.resource_group_id in behind
    )


def test_workloads_fail_where_power_fails_and_none_starts_before_servers_are_up() -> None:
    spell = short_spell(FEEDER_TRIP, "Texas-1")
    simulation = a_simulation(SEED, spell.start_ms - 120_000, is_new=False, outages=OFTEN)
    assert simulation.obey(workload_command(at=to_datetime(simulation.now_ms), duration_s=36_000))
    slices(simulation, 120)
    assert "wl-1" in simulation.scheduler.running
    assert simulation.obey(workload_command(workload_id="wl-2", at=to_datetime(simulation.now_ms), valid_s=60))
    reports = [r for r in emitted(slices(simulation, 90), "workloads.requests") if r.workload_id in ("wl-1", "wl-2")]
    failed = [(r.workload_id, r.action, r.reason) for r in reports]
    assert failed == [
        ("wl-1", e.WorkloadAction.REPORT_FAILED, "the servers lost power"),
        ("wl-2", e.WorkloadAction.REPORT_FAILED, "0 of 8 GPUs were free"),
    ]
    assert to_ms(reports[0].observed_at) == spell.start_ms
    assert not simulation.scheduler.running
    # Power is back; the servers are up five minutes later.
    slices(simulation, (spell.end_ms - simulation.now_ms) // 1000)
    assert simulation.obey(workload_command(workload_id="wl-3", at=to_datetime(simulation.now_ms)))
    slices(simulation, 297)
    assert not simulation.scheduler.running
    slices(simulation, 60)
    assert list(simulation.scheduler.running) == ["wl-3"]


def test_commands_do_not_reach_devices_without_power() -> None:
    spell = short_spell(FEEDER_TRIP, "Texas-1")
    simulation = a_simulation(SEED, spell.start_ms - 60_000, is_new=False, outages=OFTEN)
    before = set_mode(mode=e.PowerMode.ECO, at=to_datetime(simulation.now_ms))
    assert simulation.obey(before)
    slices(simulation, 90)
    within = set_mode(mode=e.PowerMode.OFF, at=to_datetime(simulation.now_ms))
    assert not simulation.obey(within)
    slices(simulation, (spell.end_ms - simulation.now_ms) // 1000 + 3)
    assert simulation.asics.mode("texas-1-s21") is e.PowerMode.ECO
    # Nor does a restart take it up from the log.
    again = a_simulation(SEED, spell.end_ms - 30_000, is_new=False, outages=OFTEN)
    again.restore([before, within], [])
    slices(again, 33)
    assert again.asics.mode("texas-1-s21") is e.PowerMode.ECO


def test_a_mode_that_is_held_until_within_an_outage_has_run_out_after_it() -> None:
    spell = short_spell(FEEDER_TRIP, "Texas-1")
    simulation = a_simulation(SEED, spell.start_ms - 60_000, is_new=False, outages=OFTEN)
    at = to_datetime(simulation.now_ms)
    until = at + timedelta(seconds=120)
    held = replace(set_mode(mode=e.PowerMode.TURBO, at=at), hold_until=until, fallback_mode=e.PowerMode.OFF)
    assert simulation.obey(held)
    slices(simulation, 63 + (spell.end_ms - spell.start_ms) // 1000)
    assert simulation.asics.mode("texas-1-s21") is e.PowerMode.OFF


def test_a_start_in_the_middle_of_an_outage_finds_it() -> None:
    spell = short_spell(FEEDER_TRIP, "Texas-1")
    whole = around(spell)
    middle_ms = spell.start_ms + 180_000
    simulation = a_simulation(SEED, middle_ms, is_new=False, outages=OFTEN)
    simulation.restore([], [])
    records = [entry.event for entry in simulation.master_data()]
    out = {r.resource_group_id for r in records if isinstance(r, e.Resource) and r.maintenance}
    assert out >= TEXAS
    later = slices(simulation, (whole[-1].end_ms - middle_ms) // 1000)
    same = [part for part in whole if part.start_ms >= middle_ms]
    assert emitted(later, "registry.resources") == emitted(same, "registry.resources")
    everyone = {r.resource_group_id for r in an_operator().resources}
    assert readings(later, everyone).drop("power_w").equals(readings(same, everyone).drop("power_w"))
    # Back in the same way, too.
    settled = readings(later, TEXAS)["power_w"].to_list()
    assert settled == pytest.approx(readings(same, TEXAS)["power_w"].to_list(), rel=0.01)


def miners(found: list[Slice]) -> pl.DataFrame:
    """What the miners behind a transformer reported, but for the temperature, which remembers more than a restart."""
    of_miners = pl.concat([part.readings[0][1] for part in found])
    columns = ("device_id", "observed_at", "power_mode", "power_w", "hashrate_ths", "uptime_s")
    return of_miners.filter(pl.col("resource_group_id").is_in(list(BEHIND))).select(columns)


@pytest.mark.parametrize("later_s", [15, 90, 240])
def test_a_start_just_after_an_outage_goes_on_with_the_start_up_of_the_miners(later_s: int) -> None:
    spell = short_spell(TRANSFORMER_TRIP, "texas-1-t1")
    restart_ms = spell.end_ms + later_s * 1000
    whole = a_simulation(SEED, spell.start_ms - 60_000, is_new=False, outages=OFTEN)
    off, on = (set_mode("texas-1-s21", mode, to_datetime(whole.now_ms)) for mode in (e.PowerMode.OFF, e.PowerMode.ECO))
    assert whole.obey(off)
    assert whole.obey(on)
    slices(whole, (restart_ms - whole.now_ms) // 1000)
    again = a_simulation(SEED, restart_ms, is_new=False, outages=OFTEN)
    again.restore([off, on], [])
    expected, found = miners(slices(whole, 60)), miners(slices(again, 60))
    assert "ECO" in expected["power_mode"]
    exact = ("device_id", "observed_at", "power_mode", "uptime_s")
    assert found.select(exact).equals(expected.select(exact))
    assert 0 < expected["uptime_s"].max() < later_s + 60  # type: ignore[operator]
    for measured in ("power_w", "hashrate_ths"):
        assert found[measured].to_list() == pytest.approx(expected[measured].to_list(), rel=0.01), measured


def test_a_miner_has_run_no_longer_than_it_has_had_power() -> None:
    spell = short_spell(TRANSFORMER_TRIP, "texas-1-t1")
    simulation = a_simulation(SEED, spell.end_ms + 2 * DAY_MS, is_new=False, outages=OFTEN)
    ages_ms = miners(slices(simulation, 15))["uptime_s"] * 1000
    assert 0 < ages_ms.max() <= 2 * DAY_MS + 15_000  # type: ignore[operator]


def test_the_pue_is_told_in_steps_of_a_hundredth_at_whole_hours_at_most() -> None:
    simulation = a_simulation(SEED, START_MS, is_new=False, outages=0.0)
    told = {
        f.facility_id: [f.pue_ratio]
        for f in (entry.event for entry in simulation.master_data())
        if isinstance(f, e.Facility)
    }
    # The minute before each hour of a day and the one after it: nothing else of the day concerns the PUE.
    for hour in range(1, 25):
        simulation.now_ms = START_MS + hour * HOUR_MS - SLICE_MS
        for record in emitted(slices(simulation, 9), "registry.facilities"):
            assert to_ms(record.recorded_at) % HOUR_MS == 0
            told[record.facility_id].append(record.pue_ratio)
    steps = [abs(b - a) for values in told.values() for a, b in pairwise(values)]
    assert len(steps) >= 3
    assert min(steps) >= 0.01 - 1e-9


def test_a_site_that_is_turned_off_has_another_pue_at_the_next_hour() -> None:
    simulation = a_simulation(SEED, START_MS + HOUR_MS - 60_000, is_new=False, outages=0.0)
    before = next(x.event for x in simulation.master_data() if x.key == "Texas-1")
    for group in TEXAS:
        simulation.obey(set_mode(group, e.PowerMode.OFF, to_datetime(simulation.now_ms)))
    (record,) = (f for f in emitted(slices(simulation, 63), "registry.facilities") if f.facility_id == "Texas-1")
    # A quarter of the load carries all of the fixed losses: 0.06 * 0.3 * (1 / 0.25 - 1), less 0.1 of the square's.
    assert record.pue_ratio == pytest.approx(before.pue_ratio + 0.06 * (0.3 * 3 - 0.1 * 0.75), abs=0.012)


def test_a_workload_that_loses_its_power_is_submitted_again_with_what_its_checkpoint_lacks() -> None:
    spell = short_spell(FEEDER_TRIP, "Texas-1")
    simulation = a_simulation(SEED, spell.start_ms - 120_000, is_new=False, outages=OFTEN)
    at = to_datetime(simulation.now_ms)
    simulation.scheduler.learn(
        e.WorkloadRequest(event_id="s", workload_id="wl-1", action=e.WorkloadAction.SUBMIT, observed_at=at,
                          customer_id="cust-7", gpus=8, duration_s=36_000)
    )  # fmt: skip
    assert simulation.obey(workload_command(at=at, duration_s=36_000))
    slices(simulation, 120)
    requests = [r for r in emitted(slices(simulation, 9), "workloads.requests") if r.workload_id.startswith("wl-1")]
    assert [(r.workload_id, r.action, r.duration_s) for r in requests] == [
        ("wl-1", e.WorkloadAction.REPORT_FAILED, 0),
        ("wl-1-r1", e.WorkloadAction.SUBMIT, 36_000),
    ]
    assert requests[0].reason == "the servers lost power: goes on as wl-1-r1 from 0 s"
