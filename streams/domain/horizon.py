"""What is known and expected of the hours ahead, interval by interval: the cost of power and the grid's calls."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.events import HorizonInterval
from streams.domain.dispatch import Due
from streams.domain.market_state import FacilityInputs, MarketState
from streams.domain.power_cost import power_cost


@dataclass(frozen=True, slots=True)
class HorizonPolicy:
    """How far is planned, and how long a departure of the real-time price from the day-ahead price lasts."""

    span: timedelta = timedelta(hours=4)
    memory: timedelta = timedelta(hours=1)

    def intervals(self, interval_s: int) -> int:
        """Number of intervals in the span; at least one."""
        return max(int(self.span.total_seconds()) // interval_s, 1)


def horizon(state: MarketState, inputs: FacilityInputs, due: Due, policy: HorizonPolicy) -> tuple[HorizonInterval, ...]:
    """Returns the intervals of the plan of a decision, the decided one first; sees nothing after `as_of`."""
    count = policy.intervals(due.interval_s)
    starts = [due.interval_start + timedelta(seconds=n * due.interval_s) for n in range(count)]
    entries = []
    for start, (price, source) in zip(starts, _prices(state, inputs, starts, policy), strict=True):
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


def _prices(
    state: MarketState, inputs: FacilityInputs, starts: list[datetime], policy: HorizonPolicy
) -> Iterator[tuple[float, str]]:
    now, point = inputs.price.price_usd_mwh, inputs.facility.settlement_point
    yield now, "REAL_TIME"
    today = state.day_ahead(point, starts[0], at=inputs.at)
    for start in starts[1:]:
        ahead = state.day_ahead(point, start, at=inputs.at)
        if ahead is None or today is None:
            yield now, "FORECAST"
        else:
            left = math.exp(-(start - starts[0]) / policy.memory)
            yield ahead.price_usd_mwh + (now - today.price_usd_mwh) * left, "DAY_AHEAD"
