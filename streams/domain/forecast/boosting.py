"""Quantile forecasts by gradient boosting: scikit-learn's HistGradientBoostingRegressor with the pinball loss.

It learns the change from the newest price, so that what it doesn't know leaves persistence. One model a level for all
leads, the lead a feature. Deterministic: no subsampling, no early stopping, a fixed seed. Histogram trees after Ke et
al., LightGBM, NeurIPS 2017; scikit-learn was taken for its wheels, which carry their OpenMP.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import ThreadpoolController

from streams.domain.forecast.history import Floats, PriceHistory, Times
from streams.domain.forecast.point import blend, last_week
from streams.domain.forecast.quantile import DAY_MS, LEVELS, Horizon, samples

HOUR_MS = 3_600_000
FIT_DAYS = 180
"""Days that are learnt from: two seasons."""
SEED = 1
_LAGS = (1, 2, 3, 4, 8)
# Bounds the time of a fit; of quarter hours every seventh moment is learnt from then, of hours each.
_MOST_SAMPLES = 40_000
# Of scikit-learn's OpenMP, whose threads wait for each other on a shared processor; a forecast asks for a few rows.
_THREADS = ThreadpoolController()


def features(history: PriceHistory, asked_ms: Times, delivery_ms: Times) -> Floats:
    """What is known of each question, (n, features); NaN where something isn't, which the trees can handle."""
    real_time, auction = history.real_time, history.day_ahead
    newest = real_time.newest(asked_ms)
    now = auction.at(real_time.newest_start(asked_ms), asked_ms)
    then = auction.at(delivery_ms, asked_ms)
    columns = [
        newest,
        *(real_time.newest(asked_ms, back) - newest for back in _LAGS),
        then - newest,
        then - now,
        auction.at(delivery_ms + HOUR_MS, asked_ms) - then,
        blend(history, asked_ms, delivery_ms) - newest,
        last_week(history, asked_ms, delivery_ms) - newest,
        real_time.at(delivery_ms - DAY_MS, asked_ms) - newest,
        (delivery_ms - asked_ms) / HOUR_MS,
        delivery_ms % DAY_MS / HOUR_MS,
        delivery_ms % HOUR_MS / HOUR_MS,
    ]
    return np.column_stack(columns).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class BoostingModel:
    """One fitted regressor for each level; `columns` are the features that they know."""

    regressors: tuple[Any, ...]
    columns: NDArray[np.bool_]

    def quantiles(self, history: PriceHistory, asked_ms: Times, delivery_ms: Times) -> Floats:
        """As in the protocol; crossing quantiles are sorted (Chernozhukov et al., Econometrica 78, 2010)."""
        known = history.real_time.at(delivery_ms, asked_ms)
        x = features(history, asked_ms, delivery_ms)
        with _THREADS.limit(limits=1, user_api="openmp"):
            change = np.column_stack([regressor.predict(x[:, self.columns]) for regressor in self.regressors])
        found = np.sort(x[:, :1] + change, axis=1)
        return np.where(np.isnan(known)[:, None], found, known[:, None])


@dataclass(frozen=True, slots=True)
class Boosting:
    """Learns from the last `FIT_DAYS` days; `levels` are those to learn."""

    levels: tuple[float, ...] = LEVELS

    def fit(self, history: PriceHistory, horizon: Horizon, now_ms: int) -> BoostingModel:
        """As in the protocol."""
        past = samples(history, horizon, start_ms=now_ms - FIT_DAYS * DAY_MS, end_ms=now_ms, every=_every(horizon))
        newest = history.real_time.newest(past.asked_ms)
        unknown = np.isnan(history.real_time.at(past.delivery_ms, past.asked_ms)) & ~np.isnan(newest)
        if not unknown.any():
            raise ValueError("no past price to learn from; history has to begin earlier")
        x = features(history, past.asked_ms, past.delivery_ms)[unknown]
        y = (past.actual - newest)[unknown]
        # A market without day-ahead prices has features that are never there; scikit-learn can't bin those.
        columns = np.asarray(~np.isnan(x).all(axis=0))
        with _THREADS.limit(limits=1, user_api="openmp"):
            regressors = tuple(self._regressor(level).fit(x[:, columns], y) for level in self.levels)
        return BoostingModel(regressors, columns)

    @staticmethod
    def _regressor(level: float) -> Any:
        return HistGradientBoostingRegressor(
            loss="quantile",
            quantile=level,
            learning_rate=0.1,
            max_iter=100,
            max_leaf_nodes=15,
            min_samples_leaf=50,
            early_stopping=False,
            random_state=SEED,
        )


def _every(horizon: Horizon) -> int:
    """Of how many moments one is learnt from; prime to the intervals of a day, so that every time of day is."""
    a_day = DAY_MS // horizon.step_ms
    every = max(math.ceil(FIT_DAYS * a_day * horizon.intervals / _MOST_SAMPLES), 1)
    while math.gcd(every, a_day) > 1:
        every += 1
    return every
