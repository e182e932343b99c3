"""The ASIC fleet: sane physics, and obedience to set-points."""

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events as e
from simulators.asic import startup, thermal
from simulators.asic.fleet import AsicFleet
from simulators.asic.pool import NO_POOL
from simulators.fleet import PERIOD_MS
from simulators.outage import Outages
from simulators.portfolio import Climate
from simulators.simulation import Slice
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS
from tests.simulators_world import START, START_MS, a_simulation, an_asic_fleet, asic_readings, set_mode, slices

GROUP = "texas-1-s21"
FANS_OF_WHATSMINERS = "texas-2-m60s"
STILL_AIR = Climate(20.0, 0.0, 0.0, 0.0)
_POWER = {e.PowerMode.OFF: 20.0, e.PowerMode.ECO: 2520.0, e.PowerMode.NORMAL: 3500.0, e.PowerMode.TURBO: 4200.0}
_HASHRATE = {e.PowerMode.OFF: 0.0, e.PowerMode.ECO: 160.0, e.PowerMode.NORMAL: 200.0, e.PowerMode.TURBO: 224.0}
"""Of an S21: nameplate times the factors of the modes."""


def _readings(found: list[Slice], group: str = GROUP) -> pl.DataFrame:
    frames = [frame for part in found for topic, frame in part.readings if topic.name == "telemetry.asic"]
    return pl.concat(frames).filter(pl.col("resource_group_id") == group)


def _of(frame: pl.DataFrame, group: str = GROUP) -> pl.DataFrame:
    return frame.filter(resource_group_id=group)


def test_every_device_reports_once_in_15_s_in_order_of_event_time() -> None:
    simulation = a_simulation()
    frames = [{t.name: f for t, f in part.readings}["telemetry.asic"] for part in slices(simulation, 30)]
    whole = pl.concat(frames)
    assert whole["observed_at"].is_sorted()
    assert whole.group_by("device_id").len()["len"].to_list() == [2] * 60
    gaps = whole.group_by("device_id").agg(pl.col("observed_at").diff().drop_nulls().first())["observed_at"]
    assert gaps.to_list() == [PERIOD_MS] * 60
    assert all(frame.height == 12 for frame in frames)  # 60 devices spread evenly over 5 slices


def test_devices_in_normal_mode_draw_about_the_nameplate() -> None:
    last = _readings(slices(a_simulation(), 15))
    # Nameplate of the S21: 3,500 W and 200 TH/s; the weather of a January noon takes at most 5 % off.
    assert last["power_w"].median() == pytest.approx(3500, rel=0.05)
    assert last["hashrate_ths"].median() == pytest.approx(200, rel=0.05)
    assert last["temp_c"].is_between(20, 95).all()
    assert last["fan_rpm"].is_between(1200, 7200).all()
    assert last["boards_hashing"].median() == 3
    assert last["pool_rejected_ratio"].median() == pytest.approx(0.002, rel=0.5)
    # Started within the month before, each at another time.
    assert last["uptime_s"].is_between(0, 30 * 86_400).all()
    assert last["uptime_s"].n_unique() == last.height


def test_a_group_that_is_turned_off_is_off_in_its_next_readings() -> None:
    fleet = an_asic_fleet()
    asic_readings(fleet, START_MS, 15)
    assert fleet.set_mode(GROUP, e.PowerMode.OFF, START_MS + 15_000)
    off = _of(asic_readings(fleet, START_MS + 15_000, 15))
    assert off["power_w"].max() == pytest.approx(20.0, rel=0.02)
    assert off.select("hashrate_ths", "boards_hashing", "pool_rejected_ratio", "uptime_s").sum().row(0) == (0, 0, 0, 0)
    assert set(off["power_mode"]) == {"OFF"}
    cool = _of(asic_readings(fleet, START_MS + 30_000, 600)).tail(off.height)
    assert cool["temp_c"].mean() < off["temp_c"].mean() - 20  # type: ignore[operator]


def test_a_group_that_is_turned_on_has_its_power_in_minutes_and_its_hashrate_after_it() -> None:
    fleet = an_asic_fleet()
    fleet.set_mode(GROUP, e.PowerMode.OFF, START_MS - HOUR_MS)
    fleet.settle(START_MS)
    fleet.set_mode(GROUP, e.PowerMode.NORMAL, START_MS)
    whole = _of(asic_readings(fleet, START_MS, 600)).with_columns(pl.col("observed_at") - START_MS)

    def median(column: str, from_s: int) -> float:
        part = whole.filter(pl.col("observed_at").is_between(from_s * 1000, from_s * 1000 + 14_999))
        return float(part[column].median())  # type: ignore[arg-type]

    assert (median("power_w", 15), median("hashrate_ths", 15)) == pytest.approx((20, 0), abs=0.5)
    assert median("power_w", 180) > 3200
    assert 20 < median("hashrate_ths", 180) < 120
    assert median("hashrate_ths", 330) > 180
    last = whole.filter(pl.col("observed_at") >= startup.LONGEST_S * 1000)
    assert last["hashrate_ths"].quantile(0.02) > 0.85 * 200 * 2 / 3  # type: ignore[operator]
    assert last["uptime_s"].median() == pytest.approx(540, abs=15)


@pytest.mark.parametrize("mode", [e.PowerMode.ECO, e.PowerMode.TURBO])
def test_a_change_of_the_mode_takes_a_minute_or_two_and_no_start(mode: e.PowerMode) -> None:
    simulation = a_simulation()
    slices(simulation, 15)
    assert simulation.obey(set_mode(GROUP, mode))
    after = _readings(slices(simulation, 300))
    first, last = after.head(12), after.tail(12)
    for column, normal, wanted in (("power_w", 3500, _POWER[mode]), ("hashrate_ths", 200, _HASHRATE[mode])):
        began, ended = (float(part[column].median()) for part in (first, last))  # type: ignore[arg-type]
        assert abs(began - wanted) > 0.3 * abs(normal - wanted)
        assert ended == pytest.approx(wanted, rel=0.05)
    assert set(last["power_mode"]) == {str(mode)}
    assert last["uptime_s"].min() > 300  # type: ignore[operator]


def test_a_set_point_changes_no_other_group() -> None:
    plain, commanded = a_simulation(), a_simulation()
    commanded.obey(set_mode(GROUP, e.PowerMode.OFF))
    other = "texas-1-s19jpro"
    assert _readings(slices(plain, 60), other).equals(_readings(slices(commanded, 60), other))


def test_an_expired_command_or_one_for_an_unknown_group_changes_nothing() -> None:
    simulation = a_simulation()
    assert not simulation.obey(set_mode(GROUP, e.PowerMode.OFF, START - timedelta(seconds=600), valid_s=600))
    assert not simulation.obey(set_mode("nowhere", e.PowerMode.OFF))
    assert simulation.asics.mode(GROUP) is e.PowerMode.NORMAL


def test_a_device_that_went_down_stands_by_and_starts_anew_when_it_is_repaired() -> None:
    fleet = an_asic_fleet(4000)
    before = asic_readings(fleet, START_MS, 15)
    down = before.filter(hashrate_ths=0, uptime_s=0)["device_id"]
    assert len(down) > 0
    # Repairs take 3.5 h at most, then it starts. The time between is not simulated.
    after = asic_readings(fleet, START_MS + 4 * HOUR_MS, 15).filter(pl.col("device_id").is_in(down.implode()))
    assert (before.filter(pl.col("device_id").is_in(down.implode()))["power_w"] < 21).all()
    assert (after["uptime_s"].is_between(1, 4 * 3600)).any()


def _stalled(fleet: AsicFleet, start_ms: int) -> pl.Series:
    """The devices whose second reading repeats their first, uptime and all."""
    rounds = [asic_readings(fleet, start_ms + k * PERIOD_MS, 15) for k in range(2)]
    values = pl.struct("power_w", "hashrate_ths", "temp_c", "fan_rpm", "uptime_s")
    found = pl.concat(rounds).group_by("device_id").agg(values.n_unique().alias("n"), pl.col("uptime_s").min())
    return found.filter((pl.col("n") == 1) & (pl.col("uptime_s") > 0))["device_id"]


def test_a_stalled_device_repeats_itself_obeys_no_mode_and_is_started_anew() -> None:
    fleet = an_asic_fleet(40_000)
    stalled = pl.col("device_id").is_in(_stalled(fleet, START_MS).implode())
    for group in fleet.fleet.groups:
        fleet.set_mode(group.resource_group_id, e.PowerMode.ECO, START_MS + 30_000)
    commanded = asic_readings(fleet, START_MS + 30_000, 60).tail(40_000)
    eco_w = pl.col("power_w").median().over("resource_group_id").alias("eco_w")
    still = commanded.with_columns(eco_w).filter(stalled & (pl.col("uptime_s") > 60))
    # 0.02 % of 40,000 are eight. Half of them say a hashrate of zero, and some were started anew within the minute.
    assert 2 <= still.height <= 20
    assert 0 < (still["hashrate_ths"] == 0).sum() < still.height
    assert (still["power_w"] > 1.2 * still["eco_w"]).all()
    later = asic_readings(fleet, START_MS + 20 * MINUTE_MS, 15).filter(stalled)
    assert (later["uptime_s"] < 20 * 60).all()


def test_a_stalled_device_that_is_turned_off_is_off() -> None:
    fleet = an_asic_fleet(40_000)
    stalled = pl.col("device_id").is_in(_stalled(fleet, START_MS).implode())
    for group in fleet.fleet.groups:
        fleet.set_mode(group.resource_group_id, e.PowerMode.OFF, START_MS + 30_000)
    off = asic_readings(fleet, START_MS + 30_000, 15).filter(stalled)
    assert off.height >= 2
    assert off["power_w"].max() < 21  # type: ignore[operator]


def test_a_site_without_a_pool_idles_and_goes_on_without_a_boot() -> None:
    outages = Outages(NO_POOL, "Canada-1", 1, 1.0)
    today = START_MS // DAY_MS
    spell = next(found for day in range(today, today + 400) if (found := outages.of_day(day)) is not None)
    start_ms = spell.start_ms - 3 * MINUTE_MS
    fleet = an_asic_fleet(start_ms=start_ms)
    seconds = (spell.end_ms - spell.start_ms) // 1000 + 600
    whole = _of(asic_readings(fleet, start_ms, seconds), "canada-1-s21")
    by_minute = whole.group_by((pl.col("observed_at") - start_ms) // MINUTE_MS, maintain_order=True).agg(
        pl.col("hashrate_ths", "power_w").median(), (pl.col("uptime_s") > seconds).mean().alias("old")
    )
    normal_w, normal_ths = by_minute["power_w"][0], by_minute["hashrate_ths"][0]
    assert by_minute["hashrate_ths"].min() == 0
    assert by_minute["power_w"].min() == pytest.approx(0.15 * normal_w, rel=0.1)
    assert by_minute["hashrate_ths"][-1] == pytest.approx(normal_ths, rel=0.02)
    assert by_minute["old"][-1] > 0.9


def test_in_air_that_is_too_warm_devices_are_derated_stop_cool_and_start_again() -> None:
    fleet = an_asic_fleet(climate=Climate(52.0, 0.0, 0.0, 0.0))
    fleet.set_mode(FANS_OF_WHATSMINERS, e.PowerMode.TURBO, START_MS)
    whole = _of(asic_readings(fleet, START_MS, 3600), FANS_OF_WHATSMINERS)
    assert whole["temp_c"].max() < thermal.CUT_OFF_C + 3  # type: ignore[operator]
    stops = whole.group_by("device_id").agg(
        (pl.col("uptime_s").diff() < 0).sum().alias("stops"),
        pl.col("hashrate_ths").max().alias("greatest"),
        pl.col("temp_c").filter(pl.col("uptime_s") == 0).min().alias("coolest"),
    )
    assert stops["stops"].median() >= 2  # type: ignore[operator]
    # 186 TH/s by 1.12 in TURBO, of which the heat leaves less.
    assert stops["greatest"].median() < 0.95 * 186 * 1.12  # type: ignore[operator]
    assert stops["coolest"].median() == pytest.approx(thermal.RESTART_C, abs=3)


def test_on_a_hot_day_a_device_has_the_power_and_hashrate_that_its_heat_leaves_it() -> None:
    found = _of(asic_readings(an_asic_fleet(climate=Climate(50.0, 0.0, 0.0, 0.0)), START_MS, 15), FANS_OF_WHATSMINERS)
    left = thermal.derating(found["temp_c"].to_numpy()).mean()
    assert 0.75 < left < 0.95
    assert found["hashrate_ths"].mean() == pytest.approx(186 * left, rel=0.03)
    # 0.1 % a degree over 25.
    assert found["power_w"].mean() == pytest.approx(3441 * 1.025 * left, rel=0.03)


def test_a_mild_day_derates_nothing() -> None:
    whole = asic_readings(an_asic_fleet(2000, climate=STILL_AIR), START_MS, 15)
    assert whole["temp_c"].max() < thermal.DERATING_FROM_C  # type: ignore[operator]


def test_settled_devices_stay_where_they_are() -> None:
    fleet = an_asic_fleet(2000)
    first, last = asic_readings(fleet, START_MS, 15), asic_readings(fleet, START_MS + PERIOD_MS, 300).tail(2000)
    for column in ("power_w", "hashrate_ths", "temp_c", "fan_rpm"):
        assert last[column].mean() == pytest.approx(first[column].mean(), rel=0.01), column


@settings(max_examples=12)
@given(
    st.integers(0, 365 * 24),
    st.lists(st.tuples(st.sampled_from(e.PowerMode), st.integers(1, 40)), max_size=4),
    st.integers(1, 5),
)
def test_no_device_hashes_more_than_its_nameplate_and_none_gives_power_back(
    hour: int, steps: list[tuple[e.PowerMode, int]], seed: int
) -> None:
    now_ms = START_MS + hour * HOUR_MS
    fleet = an_asic_fleet(120, seed, now_ms)
    greatest = _HASHRATE[e.PowerMode.NORMAL]
    for mode, periods in steps:
        fleet.set_mode(GROUP, mode, now_ms)
        found = _of(asic_readings(fleet, now_ms, 15 * periods))
        now_ms += periods * PERIOD_MS
        # On the way down it has what it had before. The lottery is 1.5 %, the noise 2 %: five standard deviations.
        greatest = max(_HASHRATE[mode], greatest)
        assert found["hashrate_ths"].max() <= greatest * 1.075 * 1.1  # type: ignore[operator]
        assert found["hashrate_ths"].min() >= 0  # type: ignore[operator]
        assert found["power_w"].min() > 19  # type: ignore[operator]
        assert found["boards_hashing"].is_between(0, 3).all()
        assert ((found["hashrate_ths"] > 0) == (found["boards_hashing"] > 0)).all()
        assert found["uptime_s"].min() >= 0  # type: ignore[operator]


def test_the_same_seed_gives_the_same_readings() -> None:
    assert asic_readings(an_asic_fleet(), START_MS, 60).equals(asic_readings(an_asic_fleet(), START_MS, 60))
    assert not asic_readings(an_asic_fleet(), START_MS, 15).equals(asic_readings(an_asic_fleet(seed=2), START_MS, 15))


def test_a_fleet_that_starts_in_the_middle_finds_the_same_devices_broken_and_running_as_long() -> None:
    later_ms = START_MS + HOUR_MS
    running, started = an_asic_fleet(5000), an_asic_fleet(5000, start_ms=later_ms)
    asic_readings(running, START_MS, 3600)
    a, b = (asic_readings(fleet, later_ms, 15) for fleet in (running, started))
    assert a["boards_hashing"].equals(b["boards_hashing"])
    assert (a["boards_hashing"] < 3).sum() > 20
    assert a["uptime_s"].equals(b["uptime_s"])
    assert (a["uptime_s"] < startup.LONGEST_S).sum() > 10
    # What went down or up in the last minute is still on its way in the one that runs.
    difference = (a["power_w"] - b["power_w"]).abs()
    assert difference.quantile(0.99) < 5  # type: ignore[operator]


def test_a_group_that_was_turned_on_before_the_start_is_on_its_way_up() -> None:
    fleet = an_asic_fleet(start_ms=START_MS)
    fleet.set_mode(GROUP, e.PowerMode.OFF, START_MS - HOUR_MS)
    fleet.set_mode(GROUP, e.PowerMode.NORMAL, START_MS - 3 * MINUTE_MS)
    fleet.settle(START_MS)
    found = _of(asic_readings(fleet, START_MS, 15))
    assert found["uptime_s"].median() == pytest.approx(187, abs=10)
    assert 20 < found["hashrate_ths"].median() < 120  # type: ignore[operator]
