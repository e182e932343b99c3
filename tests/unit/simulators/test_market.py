"""Prices of energy and grid calls over months: levels, extremes and structure."""

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas import events as e
from simulators.grid import SHAPES, Grid
from simulators.signal import Signals
from simulators.timeline import DAY_MS, HOUR_MS, to_ms
from tests.simulators_world import START_MS, an_operator

DAY = START_MS // DAY_MS * DAY_MS


@pytest.fixture(scope="module")
def live() -> dict[str, NDArray[np.float64]]:
    """Real-time prices of 60 days by settlement point."""
    found: dict[str, list[float]] = {}
    for price in Grid(tuple(SHAPES), seed=1, replay=None).prices(DAY, DAY + 60 * DAY_MS):
        if price.market is e.GridMarket.REAL_TIME:
            found.setdefault(price.settlement_point, []).append(price.price_usd_mwh)
    return {point: np.array(values) for point, values in found.items()}


def test_prices_have_a_usual_level_spikes_and_hours_below_zero(live: dict[str, NDArray[np.float64]]) -> None:
    # Recorded 2024-2025: median about 22 USD/MWh, 1 in 20 over 70, 1 in 100 over 130; the bounds are half and double.
    for point, values in live.items():
        assert 12 < np.median(values) < 45, point
        assert 0.004 < (values > 100).mean() < 0.06, point
        assert values.max() > 200, point
    assert 0.002 < (live["HB_WEST"] < 0).mean() < 0.2
    assert live["AESO_POOL"].min() >= 0
    assert live["AESO_POOL"].max() <= 720


def test_day_ahead_prices_come_once_a_day_for_the_24_hours_of_the_next_operating_day() -> None:
    found = [
        price
        for price in Grid(["HB_WEST", "AESO_POOL"], seed=1, replay=None).prices(DAY, DAY + DAY_MS)
        if price.market is e.GridMarket.DAY_AHEAD
    ]
    assert {price.settlement_point for price in found} == {"HB_WEST"}  # Alberta has no day-ahead market
    assert [to_ms(price.interval_start) for price in found] == [DAY + 30 * HOUR_MS + k * HOUR_MS for k in range(24)]
    assert {to_ms(price.observed_at) for price in found} == {DAY + 18 * HOUR_MS + HOUR_MS // 2}


def test_calls_have_an_end_never_overlap_and_limit_the_load() -> None:
    facilities = an_operator().facilities
    caps = {facility.facility_id: facility.cap_mw for facility in facilities}
    found = list(Signals(facilities, seed=1).signals(DAY, DAY + 30 * DAY_MS, since_ms=0))
    for facility_id, cap_mw in caps.items():
        mine = sorted((s for s in found if s.facility_id == facility_id), key=lambda s: s.observed_at)
        assert [s.status for s in mine] == [e.SignalStatus.CALLED, e.SignalStatus.ENDED] * (len(mine) // 2)
        assert all(a.signal_id == b.signal_id for a, b in zip(mine[::2], mine[1::2], strict=True))
        assert all(s.observed_at <= s.ends_at and s.starts_at < s.ends_at for s in mine)
        assert all(0 < s.limit_mw < cap_mw for s in mine)
        assert 20 < len(mine) / 2 < 75  # half of 90 thirds of a day


def test_calls_made_before_the_log_begins_are_not_ended_in_it() -> None:
    facilities = an_operator().facilities
    everything = list(Signals(facilities, seed=1).signals(DAY, DAY + 10 * DAY_MS, since_ms=0))
    call = next(s for s in everything if s.status is e.SignalStatus.CALLED)
    since_ms = to_ms(call.observed_at) + 1
    later = list(Signals(facilities, seed=1).signals(since_ms, DAY + 10 * DAY_MS, since_ms))
    assert call.signal_id not in {s.signal_id for s in later}
