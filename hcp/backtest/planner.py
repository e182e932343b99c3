"""The planning decider: what each state is expected to earn over the hours ahead, by a Markov chain of prices.

Backward induction over intervals, price levels and states (Bellman, Dynamic Programming, 1957; Puterman, Markov
Decision Processes, 1994, section 4.5). A stop that a spike may soon undo is weighed with the odds that it lasts.
"""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np

from hcp.backtest.error import BacktestError
from hcp.backtest.fleet import Fleet, Floats
from hcp.backtest.market import Known
from streams.domain import power_cost
from streams.domain.forecast import chain
from streams.domain.forecast.chain import PriceChain
from streams.domain.forecast.history import Times
from streams.domain.forecast.quantile import Horizon

HORIZON_MS = 4 * 3_600_000
LEARN_MS = 7 * 86_400_000


class Planner:
    """Plans `HORIZON_MS` ahead by expected margins, carries out the first interval, and plans again.

    Every later decision of the plan knows the prices that will be known by then. The chain learns again once a week,
    and when a price is beyond all that it has seen.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._horizon = Horizon(fleet.interval_ms, max(HORIZON_MS // fleet.interval_ms, 1))
        self._zone = ZoneInfo(fleet.facility.timezone)
        self._chain: PriceChain | None = None
        self._fitted_ms = 0

    def decide(self, known: Known, state: int) -> tuple[int, ...]:
        """As in the protocol. Raises BacktestError where there is no past to learn from."""
        worth = self._expected_usd(known, self._learnt(known)) - self._fleet.step_cost_usd[state]
        return tuple(int(mode) for mode in self._fleet.modes[int(worth.argmax())])

    def _learnt(self, known: Known) -> PriceChain:
        is_old = known.now_ms - self._fitted_ms >= LEARN_MS
        if self._chain is None or is_old or not self._chain.has_seen(known.price_usd_mwh):
            try:
                self._chain = chain.fit(known.prices, known.now_ms, self._zone)
            except ValueError as error:
                raise BacktestError("prices can't be learnt: choose a later --from, or a longer file") from error
            self._fitted_ms = known.now_ms
        return self._chain

    def _expected_usd(self, known: Known, learnt: PriceChain) -> Floats:
        """What is earned over the horizon by going to each state now, without the wear of that step: (states,)."""
        starts = self._horizon.deliveries(known.now_ms)
        margins = self._margins_usd(known, starts, learnt.levels_usd_mwh)
        newest_ms = int(known.prices.real_time.start_ms[-1])
        is_known = newest_ms == known.now_ms
        worth = np.zeros(margins.shape[1:])
        for into, margin in zip(self._steps(known, learnt, starts[:0:-1]), margins[:0:-1], strict=True):
            worth = into @ self._best(margin + worth) if is_known else self._best(into @ (margin + worth))
        now = learnt.weights(np.array([known.price_usd_mwh]))[0]
        passed = np.arange(newest_ms + self._fleet.interval_ms, known.now_ms + 1, self._fleet.interval_ms)
        for into in self._steps(known, learnt, passed):
            now = now @ into
        expected: Floats = now @ (margins[0] + worth)
        return expected

    @staticmethod
    def _steps(known: Known, learnt: PriceChain, starts: Times) -> Iterator[Floats]:
        """Yields the chain's step into each of the intervals."""
        auction = known.prices.day_ahead.at(starts, np.full(len(starts), known.now_ms))
        return map(learnt.into, starts.tolist(), auction.tolist())

    def _margins_usd(self, known: Known, starts: Times, levels_usd_mwh: Floats) -> Floats:
        """Margin of each interval at each level in each state: (intervals, levels, states)."""
        fleet = self._fleet
        adders_usd_mwh = power_cost.costs_usd_mwh(fleet.facility, np.zeros(len(starts)), starts)
        before_lmp = fleet.margins_usd(np.full(len(starts), known.hashprice_usd_ths_day), adders_usd_mwh)
        margins: Floats = before_lmp[:, None, :] - np.outer(levels_usd_mwh, fleet.load_mw) * fleet.hours
        return margins

    def _best(self, worth: Floats) -> Floats:
        found: Floats = (worth[:, None, :] - self._fleet.step_cost_usd).max(axis=2)
        return found
