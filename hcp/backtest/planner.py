"""The planning decider: a forecast of the hours ahead, and the path through them that earns most by it."""

import numpy as np

from hcp.backtest.error import BacktestError
from hcp.backtest.fleet import Fleet
from hcp.backtest.market import Known
from streams.domain import power_cost
from streams.domain.forecast.quantile import Horizon, QuantileMethod, QuantileModel

HORIZON_MS = 4 * 3_600_000
REFIT_MS = 7 * 86_400_000


class Planner:
    """Plans `HORIZON_MS` ahead by the median of the forecast, carries out the first interval, and plans again.

    The forecast learns again once a week. Switching costs and least times are why what comes later matters now.
    """

    def __init__(self, fleet: Fleet, method: QuantileMethod) -> None:
        self._fleet = fleet
        self._method = method
        self._horizon = Horizon(fleet.interval_ms, max(HORIZON_MS // fleet.interval_ms, 1))
        self._model: QuantileModel | None = None
        self._fitted_ms = 0

    def decide(self, known: Known, state: int) -> tuple[int, ...]:
        """As in the protocol."""
        fleet = self._fleet
        expected = self._expected_usd_mwh(known)
        cost_usd_mwh = power_cost.costs_usd_mwh(fleet.facility, expected, self._horizon.deliveries(known.now_ms))
        hashprice = np.full(len(expected), known.hashprice_usd_ths_day)
        margins = fleet.margins_usd(hashprice, cost_usd_mwh)
        path, _ = fleet.best_path(margins, state)
        return tuple(int(mode) for mode in fleet.modes[path[0]])

    def _expected_usd_mwh(self, known: Known) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        if self._model is None or known.now_ms - self._fitted_ms >= REFIT_MS:
            try:
                self._model = self._method.fit(known.prices, self._horizon, known.now_ms)
            except ValueError as error:
                raise BacktestError("the forecast can't be learnt: choose a later --from, or a longer file") from error
            self._fitted_ms = known.now_ms
        asked = np.full(self._horizon.intervals, known.now_ms, np.int64)
        quantiles = self._model.quantiles(known.prices, asked, self._horizon.deliveries(known.now_ms))
        middle: np.ndarray[tuple[int], np.dtype[np.float64]] = quantiles[:, quantiles.shape[1] // 2]
        return middle
