"""Runs deciders through recorded weeks and settles what they did at the prices that came.

Every week starts with the fleet running, for all alike, so that perfect foresight of a week is an upper bound of all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hcp.backtest.decider import Decider
from hcp.backtest.fleet import Fleet, Floats
from hcp.backtest.market import Market
from streams.domain import power_cost
from streams.domain.forecast.history import Times

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
HISTORY_MS = 200 * DAY_MS
"""What deciders may look back at: more than any forecast learns from."""

FORESIGHT = "perfect foresight"

NewDecider = Callable[[], Decider]


@dataclass(frozen=True, slots=True, eq=False)
class Week:
    """What each did in a week: margins in USD with wear, loads in MW an interval, by name; prices in USD/MWh."""

    start_ms: int
    margin_usd: Mapping[str, float]
    load_mw: Mapping[str, Floats]
    price_usd_mwh: Floats

    def share(self, name: str) -> float:
        """Margin as a share of perfect foresight's; NaN where that earned nothing."""
        best = self.margin_usd[FORESIGHT]
        return self.margin_usd[name] / best if best > 0 else float("nan")


def weeks(start_ms: int, end_ms: int) -> list[int]:
    """Starts of the whole weeks in [start, end)."""
    return list(range(start_ms, end_ms - WEEK_MS + 1, WEEK_MS))


def run_week(
    market: Market, fleet: Fleet, deciders: Mapping[str, NewDecider], start_ms: int, end_ms: int | None = None
) -> Week | None:
    """Decides interval after interval, each by what was known then. None where a price of the week is missing.

    Settlement knows the prices; the deciders are given `market.known(now)` only.
    """
    market = market.since(start_ms - HISTORY_MS)
    moments = np.arange(start_ms, end_ms or start_ms + WEEK_MS, fleet.interval_ms, dtype=np.int64)
    price = market.settled_usd_mwh(moments)
    if np.isnan(price).any():
        return None
    cost_usd_mwh = power_cost.costs_usd_mwh(fleet.facility, price, moments)
    margins = fleet.margins_usd(market.earned_usd_ths_day(moments), cost_usd_mwh)
    paths = _paths(market, fleet, {name: new() for name, new in deciders.items()}, moments)
    paths[FORESIGHT] = fleet.best_path(margins, fleet.full)[0]
    return Week(
        start_ms,
        {name: settled_usd(fleet, margins, path) for name, path in paths.items()},
        {name: fleet.load_mw[path] for name, path in paths.items()},
        price,
    )


def settled_usd(fleet: Fleet, margins_usd: Floats, path: Times) -> float:
    """What a path of states earns from a running start: margins less wear."""
    steps = np.concatenate(([fleet.full], path)).astype(np.int64)
    wear_usd = fleet.step_cost_usd[steps[:-1], steps[1:]].sum()
    return float(margins_usd[np.arange(len(path)), steps[1:]].sum() - wear_usd)


def _paths(market: Market, fleet: Fleet, deciders: Mapping[str, Decider], moments: Times) -> dict[str, Times]:
    paths = {name: np.empty(len(moments), np.int64) for name in deciders}
    state = dict.fromkeys(deciders, fleet.full)
    for step, now_ms in enumerate(moments.tolist()):
        # Once for all: it copies, and takes longer than most decisions.
        known = market.known(now_ms)
        for name, decider in deciders.items():
            paths[name][step] = state[name] = fleet.obey(state[name], decider.decide(known, state[name]))
    return paths
