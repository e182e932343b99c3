"""The prices of the hours ahead: newest, by auction, by forecast, and which of them counts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas import events as e
from streams.domain.economics import EconomicsPolicy
from streams.domain.horizon import PriceSource
from streams.domain.market_state import MarketState
from streams.domain.snapshot import take
from streams.domain.trigger import Due, Trigger
from streams.domain.workload import WorkloadBook
from tests import streams_event as a

ADDER = 10.0
HOUR_S = 3600


def hourly(seconds: float, usd_mwh: float) -> e.GridPrice:
    """An hour's price, known as it begins."""
    return a.price(seconds, usd_mwh, interval_s=HOUR_S)


def known(*more: object) -> MarketState:
    """A state with all that Texas-1 needs at noon but a price."""
    state = MarketState()
    for event in (a.facility(), a.miners(), a.tick(), a.gpu_tick(), a.network(), *more):
        state.add(event)  # type: ignore[arg-type]
    return state


def plan(state: MarketState, seconds: float = 0, as_of_s: float | None = None) -> e.AllocationSnapshot:
    """The snapshot of the plan from `seconds` on."""
    due = Due(
        "a plan", "Texas-1", a.at(seconds), 300, a.at(seconds if as_of_s is None else as_of_s), "a cause", "TICK",
        Trigger.PLAN,
    )  # fmt: skip
    found = take(state, WorkloadBook(), None, due, EconomicsPolicy())
    assert isinstance(found, e.AllocationSnapshot)
    return found


def lmps(taken: e.AllocationSnapshot) -> list[float]:
    """LMP of each interval."""
    return [entry.power_cost_usd_mwh - ADDER for entry in taken.horizon]


def test_hours_that_no_auction_has_priced_cost_what_is_forecast() -> None:
    state = known(hourly(0, 30.0), a.forecast(0, [30.0, 80.0, 90.0]))
    taken = plan(state, 300)
    # The hour from noon keeps its price; then the forecast, and where it ends the newest price.
    assert lmps(taken) == [30.0] * 11 + [80.0] * 12 + [90.0] * 12 + [30.0] * 13
    assert [entry.source for entry in taken.horizon] == (
        [PriceSource.REAL_TIME]
        + [PriceSource.PERSISTENCE] * 10
        + [PriceSource.FORECAST] * 24
        + [PriceSource.PERSISTENCE] * 13
    )
    assert taken.forecast_event_id == a.forecast(0, []).event_id


def test_an_auctions_price_goes_before_a_forecast() -> None:
    state = known(hourly(0, 30.0), a.forecast(0, [30.0, 80.0]), a.day_ahead(0, 30.0), a.day_ahead(1, 60.0))
    taken = plan(state, 300)
    assert {entry.source for entry in taken.horizon[1:23]} == {PriceSource.DAY_AHEAD}
    assert lmps(taken)[12] == 60.0
    assert taken.forecast_event_id is None


def test_a_price_newer_than_the_forecast_tells_how_far_it_is_off_and_that_halves_by_the_hour() -> None:
    # An hour ago 50 was expected for this hour; it is 90 now.
    state = known(a.forecast(-HOUR_S, [40.0, 50.0, 60.0, 70.0]), hourly(0, 90.0))
    taken = plan(state, 0)
    found = lmps(taken)
    assert found[:12] == [90.0] * 12
    assert found[12] == pytest.approx(60.0 + 40.0 / 2)
    assert found[24] == pytest.approx(70.0 + 40.0 / 4)
    assert {entry.source for entry in taken.horizon[12:36]} == {PriceSource.FORECAST}


def test_a_price_known_when_its_hour_is_over_is_followed_by_the_forecast_of_the_next_hour() -> None:
    # The price of 11:00 came at 12:00 with a forecast from noon on: within the decided hour it stays.
    over = replace(hourly(0, 30.0), interval_start=a.at(-HOUR_S))
    taken = plan(known(over, a.forecast(0, [50.0, 80.0])), 300)
    assert lmps(taken) == [30.0] * 11 + [80.0] * 12 + [30.0] * 25


@pytest.mark.parametrize("as_of_s", [0.0, 60.0])
def test_a_forecast_from_the_price_that_an_interval_begins_with_matters_from_the_next_interval_on(
    as_of_s: float,
) -> None:
    before = known(hourly(0, 30.0))
    without = plan(before, 0, as_of_s)
    state = known(hourly(0, 30.0), a.forecast(0, [30.0, 80.0]))
    assert plan(state, 0, as_of_s) == without
    assert lmps(plan(state, 300))[11] == 80.0


def test_a_forecast_of_another_point_or_of_later_is_not_seen() -> None:
    elsewhere = known(hourly(0, 30.0), a.forecast(0, [30.0, 80.0], point="AESO_POOL"), a.forecast(600, [1.0, 2.0]))
    assert set(lmps(plan(elsewhere, 300))) == {30.0}


def test_a_price_that_the_forecast_does_not_reach_is_held_on() -> None:
    state = known(a.forecast(-8 * HOUR_S, [30.0, 80.0, 90.0]), hourly(0, 30.0))
    taken = plan(state, 0)
    assert set(lmps(taken)) == {30.0}
    assert taken.forecast_event_id is None


def test_forecasts_are_kept_as_long_as_a_decision_may_ask_for_them() -> None:
    state = known(hourly(0, 30.0), a.forecast(-HOUR_S, [30.0] * 6), a.forecast(0, [30.0, 80.0]))
    state.forget_before(a.at(HOUR_S - 1))
    wanted = a.at(0) - timedelta(milliseconds=1)
    assert state.forecast("HB_WEST", wanted) == a.forecast(-HOUR_S, [30.0] * 6)
    assert state.forget_before(a.at(10 * HOUR_S))[:1] != ()
    assert state.forecast("HB_WEST", wanted) is None
    assert state.forecast("HB_WEST", a.at(10 * HOUR_S)) == a.forecast(0, [30.0, 80.0])
