"""Prices of energy over a year: levels, extremes, memory, and how they move together; the same from wherever one looks.

Recorded figures are those of January 2024 to August 2025; a simulated year strays from them as recorded years do.
"""

import numpy as np
import pytest

from schemas import events as e
from simulators.grid import CAD_USD, Grid, SettlementPoint
from simulators.replay import IntervalPrice, Replay
from simulators.scarcity import STEP_MS, Floats
from simulators.timeline import DAY_MS, HOUR_MS, to_ms
from tests.simulators_world import START_MS

DAY = START_MS // DAY_MS * DAY_MS
YEAR = range(DAY, DAY + 365 * DAY_MS, HOUR_MS)
POINTS = ("AESO_POOL", "HB_NORTH", "HB_WEST")


@pytest.fixture(scope="module")
def hourly() -> dict[str, Floats]:
    """A year of real-time prices by the hour, USD/MWh."""
    return {name: SettlementPoint(name, seed=2).real_time_usd(YEAR) for name in POINTS}


def _correlation(values: Floats, lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


def test_north_has_the_recorded_quantiles_and_spikes(hourly: dict[str, Floats]) -> None:
    found = np.percentile(hourly["HB_NORTH"], [5, 25, 50, 75, 95])
    assert found == pytest.approx([3.0, 15.1, 21.6, 29.7, 68.0], rel=0.25, abs=3)
    # Recorded: 2.2 % over 100 and 0.09 % over 1,000 USD/MWh, 2.5 % below zero.
    assert 0.01 < np.mean(hourly["HB_NORTH"] > 100) < 0.04
    assert 0 < np.mean(hourly["HB_NORTH"] > 1000) < 0.003
    assert 0.01 < np.mean(hourly["HB_NORTH"] < 0) < 0.04


def test_west_is_below_zero_more_often_and_spikes_with_north(hourly: dict[str, Floats]) -> None:
    # Recorded: 9.2 % below zero; correlation of the two 0.98; half of the differences between -1.0 and 3.9 USD/MWh.
    west, north = hourly["HB_WEST"], hourly["HB_NORTH"]
    assert 0.05 < np.mean(west < 0) < 0.13
    assert np.corrcoef(west, north)[0, 1] > 0.9
    assert np.percentile(west - north, [25, 75]) == pytest.approx([-1.0, 3.9], abs=1.5)


def test_prices_remember_hours_and_the_hour_of_the_day(hourly: dict[str, Floats]) -> None:
    # Recorded correlations after 1 and 24 hours: HB_NORTH 0.56 and 0.13, Alberta 0.83 and 0.37.
    assert _correlation(hourly["HB_NORTH"], 1) == pytest.approx(0.56, abs=0.2)
    assert _correlation(hourly["HB_NORTH"], 24) == pytest.approx(0.13, abs=0.15)
    assert _correlation(hourly["AESO_POOL"], 1) == pytest.approx(0.83, abs=0.2)
    by_hour = np.median(hourly["HB_NORTH"].reshape(-1, 24), axis=0)
    # The evening (18 and 19 h Central) is dear, the sun (10 to 15 h) cheap.
    assert by_hour[[0, 1]].min() > 1.5 * by_hour[16:22].max()


def test_albertas_pool_is_between_zero_and_its_cap_in_canadian_dollars(hourly: dict[str, Floats]) -> None:
    cad = hourly["AESO_POOL"] / CAD_USD
    assert cad.min() == 0
    assert 900 < cad.max() < 999.995
    # Recorded: 8.5 % over 100 CAD/MWh, 5 % at zero, and these quartiles.
    assert 0.04 < np.mean(cad > 100) < 0.15
    assert 0.02 < np.mean(cad == 0) < 0.10
    assert np.percentile(cad, [25, 50, 75]) == pytest.approx([16.5, 27.4, 42.7], rel=0.25)


def test_day_ahead_prices_foresee_the_real_time_ones_in_part(hourly: dict[str, Floats]) -> None:
    day_ahead = SettlementPoint("HB_NORTH", seed=2).day_ahead_usd(YEAR)
    # Recorded: correlation 0.55, of ranks 0.80; a mean above the real-time one by 4 %.
    assert np.corrcoef(day_ahead, hourly["HB_NORTH"])[0, 1] == pytest.approx(0.55, abs=0.2)
    ranks = [np.argsort(np.argsort(values)) for values in (day_ahead, hourly["HB_NORTH"])]
    assert np.corrcoef(ranks[0], ranks[1])[0, 1] == pytest.approx(0.80, abs=0.08)
    assert day_ahead.mean() / hourly["HB_NORTH"].mean() == pytest.approx(1.04, abs=0.15)


def test_day_ahead_prices_come_once_a_day_for_the_24_hours_of_the_next_operating_day() -> None:
    found = [
        price
        for price in Grid(["HB_WEST", "AESO_POOL"], seed=1, replay=None).prices(DAY, DAY + DAY_MS)
        if price.market is e.GridMarket.DAY_AHEAD
    ]
    assert {price.settlement_point for price in found} == {"HB_WEST"}  # Alberta has no day-ahead market
    assert [to_ms(price.interval_start) for price in found] == [DAY + 30 * HOUR_MS + k * HOUR_MS for k in range(24)]
    assert {to_ms(price.observed_at) for price in found} == {DAY + 18 * HOUR_MS + HOUR_MS // 2}


def test_ercot_has_a_price_every_5_minutes_and_alberta_every_hour() -> None:
    found = list(Grid(POINTS, seed=1, replay=None).prices(DAY, DAY + 2 * HOUR_MS))
    intervals = {(p.settlement_point, p.interval_s) for p in found}
    assert intervals == {("AESO_POOL", 3600), ("HB_NORTH", 300), ("HB_WEST", 300)}
    assert len(found) == 2 + 24 + 24


def test_a_log_that_begins_within_an_hour_opens_with_albertas_running_price() -> None:
    grid = Grid(["AESO_POOL"], seed=1, replay=None)
    whole = list(grid.prices(DAY, DAY + HOUR_MS))
    start_ms = DAY + HOUR_MS // 4
    opening = [price for price in grid.opening(start_ms) if to_ms(price.observed_at) >= start_ms]
    assert [(p.interval_start, p.price_usd_mwh) for p in opening] == [
        (p.interval_start, p.price_usd_mwh) for p in whole
    ]
    assert to_ms(opening[0].observed_at) == start_ms
    assert [price for price in grid.opening(DAY) if to_ms(price.observed_at) >= DAY] == []


def test_a_log_opens_with_four_weeks_of_prices_where_there_is_no_day_ahead_market() -> None:
    grid = Grid(POINTS, seed=1, replay=None)
    before = [price for price in grid.opening(DAY) if to_ms(price.observed_at) < DAY]
    assert {price.settlement_point for price in before} == {"AESO_POOL"}
    assert [to_ms(price.interval_start) for price in before] == list(range(DAY - 28 * DAY_MS, DAY, HOUR_MS))
    assert before == [price for price in grid.prices(DAY - 28 * DAY_MS, DAY) if price.settlement_point == "AESO_POOL"]


def test_a_log_of_recorded_prices_opens_with_those_that_are_recorded() -> None:
    recorded = tuple(IntervalPrice(DAY + n * HOUR_MS, HOUR_MS, 20.0 + n) for n in range(-2, 2))
    found = list(Grid(["AESO_POOL"], 1, Replay({"AESO_POOL": recorded})).opening(DAY))
    assert [price.price_usd_mwh for price in found] == [18.0, 19.0]


def test_a_gap_in_a_replay_is_not_filled_with_simulated_prices() -> None:
    replay = Replay({"HB_WEST": (IntervalPrice(DAY, 300_000, 20.0),)})
    grid = Grid(["HB_WEST"], 1, replay)
    assert [p.price_usd_mwh for p in grid.prices(DAY, DAY + HOUR_MS)] == [20.0]


def test_prices_do_not_depend_on_where_one_looks_first() -> None:
    west = SettlementPoint("HB_WEST", 1)
    whole = west.real_time(DAY, DAY + DAY_MS)
    for start_ms in (DAY + 900 * DAY_MS, DAY + 7 * HOUR_MS, DAY, DAY - 900 * DAY_MS):
        found = west.real_time(start_ms, start_ms + HOUR_MS)
        assert found == SettlementPoint("HB_WEST", 1).real_time(start_ms, start_ms + HOUR_MS)
        assert start_ms not in range(DAY, DAY + DAY_MS) or found == [
            p for p in whole if start_ms <= p.at_ms < start_ms + HOUR_MS
        ]
    assert len(whole) == DAY_MS // STEP_MS


def test_an_unknown_point_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no prices are simulated at 'MARS'"):
        SettlementPoint("MARS", 1)
