"""What is known and expected of the hours ahead, interval by interval: the cost of power and the grid's calls."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from schemas.events import GridPrice, HorizonInterval, PriceForecast
from streams.domain import economics
from streams.domain.forecast.history import Floats
from streams.domain.forecast.point import towards
from streams.domain.market_state import FacilityInputs, MarketState
from streams.domain.power_cost import power_cost
from streams.domain.trigger import Due

_INSTANT = timedelta(milliseconds=1)


class PriceSource(StrEnum):
    """Where the energy price of an interval comes from."""

    REAL_TIME = "REAL_TIME"
    DAY_AHEAD = "DAY_AHEAD"
    FORECAST = "FORECAST"
    PERSISTENCE = "PERSISTENCE"
    """The newest price, held on: no auction and no forecast has anything of that interval."""


@dataclass(frozen=True, slots=True)
class HorizonPolicy:
    """How far is planned."""

    span: timedelta = timedelta(hours=4)

    def intervals(self, interval_s: int) -> int:
        """Number of intervals in the span; at least one."""
        return max(int(self.span.total_seconds()) // interval_s, 1)


def horizon(state: MarketState, inputs: FacilityInputs, due: Due, policy: HorizonPolicy) -> tuple[HorizonInterval, ...]:
    """Returns the intervals of the plan of a decision, the decided one first; sees nothing after `as_of`."""
    count = policy.intervals(due.interval_s)
    starts = [due.interval_start + timedelta(seconds=n * due.interval_s) for n in range(count)]
    entries = []
    for start, (price, source) in zip(starts, _prices(state, inputs, due, starts), strict=True):
        begins = max(start, due.as_of)
        ends = max(start + timedelta(seconds=due.interval_s), begins)
        call = state.active_call(due.facility_id, begins, ends, known_at=due.as_of)
        entries.append(
            HorizonInterval(
                power_cost_usd_mwh=power_cost(inputs.facility, price, start).usd_mwh,
                source=source,
                limit_mw=None if call is None else call.limit_mw,
                payment_usd_mwh=0.0 if call is None else call.payment_usd_mwh,
            )
        )
    return tuple(entries)


def worth_usd_mwh(hours: Iterable[HorizonInterval]) -> list[float]:
    """What a MWh used in each interval costs, with the payment of a call forgone, USD/MWh."""
    return [economics.grid_value_usd_mwh(entry.power_cost_usd_mwh, entry.payment_usd_mwh) for entry in hours]


def forecast_of(state: MarketState, inputs: FacilityInputs, due: Due) -> PriceForecast | None:
    """The forecast that the hours ahead of a decision are priced by, where no auction has priced them.

    It rests on a price of before the decided interval: that of a price with which the interval begins comes a moment
    after the decision, or before it, and which must not matter.
    """
    before = min(due.as_of, due.interval_start - _INSTANT)
    return state.forecast(inputs.facility.settlement_point, before)


def _prices(
    state: MarketState, inputs: FacilityInputs, due: Due, starts: Sequence[datetime]
) -> list[tuple[float, PriceSource]]:
    """LMP and source of each interval: the newest price, then from there towards what the auction or forecast says."""
    newest = inputs.price.price_usd_mwh
    found = [(newest, PriceSource.REAL_TIME), *((newest, PriceSource.PERSISTENCE) for _ in starts[1:])]
    for source, expected in (
        (PriceSource.FORECAST, _forecast(forecast_of(state, inputs, due), inputs.price, starts)),
        (PriceSource.DAY_AHEAD, _auction(state, inputs, starts)),
    ):
        for number, usd_mwh in enumerate(expected.tolist()):
            if number > 0 and not math.isnan(usd_mwh):
                found[number] = (usd_mwh, source)
    return found


def _auction(state: MarketState, inputs: FacilityInputs, starts: Sequence[datetime]) -> Floats:
    """What each interval will cost by the day-ahead auction, USD/MWh; NaN where it has not priced it."""
    prices = [state.day_ahead(inputs.facility.settlement_point, start, at=inputs.at) for start in starts]
    then = np.array([math.nan if price is None else price.price_usd_mwh for price in prices])
    return _towards(inputs.price.price_usd_mwh, float(then[0]), then, starts, since=starts[0])


def _forecast(forecast: PriceForecast | None, price: GridPrice, starts: Sequence[datetime]) -> Floats:
    """What each interval will cost by a forecast, USD/MWh; NaN where it says nothing, or the newest price still holds.

    Prices have intervals of their own: within that of the decision the newest price is kept. A price newer than the one
    that the forecast rests on tells how far it is off.
    """
    if forecast is None or not forecast.intervals:
        return np.full(len(starts), math.nan)
    expected = [interval.expected_usd_mwh for interval in forecast.intervals]
    decided = _index(forecast, starts[0])

    def of(index: int) -> float:
        return expected[index] if 0 <= index < len(expected) else math.nan

    is_its_own = price.event_id == forecast.price_event_id
    now = price.price_usd_mwh if is_its_own else of(_index(forecast, price.interval_start))
    indices = [_index(forecast, start) for start in starts]
    then = np.array([of(index) if index > decided else math.nan for index in indices])
    return _towards(price.price_usd_mwh, now, then, starts, since=price.interval_start)


def _index(forecast: PriceForecast, start: datetime) -> int:
    return (start - forecast.intervals[0].starts_at) // timedelta(seconds=forecast.interval_s)


def _towards(newest: float, now: float, then: Floats, starts: Sequence[datetime], *, since: datetime) -> Floats:
    elapsed_ms = np.array([(start - since) // timedelta(milliseconds=1) for start in starts], np.int64)
    expected = towards(np.full(len(starts), newest), np.full(len(starts), now), then, elapsed_ms)
    return np.where(np.isnan(then) | math.isnan(now), math.nan, expected)
