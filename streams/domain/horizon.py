"""What is known and expected of the hours ahead, interval by interval: the cost of power and the grid's calls."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from schemas.events import HorizonInterval
from streams.domain import economics
from streams.domain.forecast.point import towards_auction
from streams.domain.market_state import FacilityInputs, MarketState
from streams.domain.power_cost import power_cost
from streams.domain.trigger import Due


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
    for start, (price, source) in zip(starts, _prices(state, inputs, starts), strict=True):
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


def _prices(state: MarketState, inputs: FacilityInputs, starts: list[datetime]) -> list[tuple[float, str]]:
    """LMP and source of each interval: the newest price, then from there towards that of the day-ahead auction."""
    auction = [state.day_ahead(inputs.facility.settlement_point, start, at=inputs.at) for start in starts]
    then = np.array([math.nan if price is None else price.price_usd_mwh for price in auction])
    elapsed_ms = np.array([(start - starts[0]) // timedelta(milliseconds=1) for start in starts], np.int64)
    newest = np.full(len(starts), inputs.price.price_usd_mwh)
    expected = towards_auction(newest, np.full(len(starts), then[0]), then, elapsed_ms)
    source = np.where(np.isnan(then) | np.isnan(then[0]), "FORECAST", "DAY_AHEAD")
    later = zip(expected[1:].tolist(), source[1:].tolist(), strict=True)
    return [(inputs.price.price_usd_mwh, "REAL_TIME"), *later]
