"""Quantile forecasts of the real-time price over a horizon, fitted to what was published by a moment.

Two ways: a point forecast with the spread of its own past errors, and gradient boosting on features.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streams.domain.forecast.history import Floats, PriceHistory, Times
from streams.domain.forecast.point import PointForecast

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
DAY_MS = 86_400_000
SPREAD_DAYS = 28
"""Days of errors that a spread is taken from: four of each weekday."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """`intervals` of `step_ms` from the moment of asking on."""

    step_ms: int
    intervals: int

    def deliveries(self, asked_ms: int) -> Times:
        """Starts of the intervals, (intervals,)."""
        return asked_ms + np.arange(self.intervals, dtype=np.int64) * self.step_ms

    def lead(self, asked_ms: Times, delivery_ms: Times) -> Times:
        """Which interval of the horizon each delivery is in, 0 for the first."""
        found: Times = np.clip((delivery_ms - asked_ms) // self.step_ms, 0, self.intervals - 1)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Questions of the past with their answers: arrays of one length, USD/MWh."""

    asked_ms: Times
    delivery_ms: Times
    actual: Floats


def samples(history: PriceHistory, horizon: Horizon, *, start_ms: int, end_ms: int, every: int = 1) -> Samples:
    """Every lead of every `every`-th moment in [start, end), whose price was published before `end_ms`."""
    moments = np.arange(start_ms, end_ms, horizon.step_ms * every, dtype=np.int64)
    leads = np.arange(horizon.intervals, dtype=np.int64) * horizon.step_ms
    asked = np.repeat(moments, horizon.intervals)
    delivery = (moments[:, None] + leads).ravel()
    actual = history.real_time.at(delivery, np.full(len(delivery), end_ms - 1))
    there = ~np.isnan(actual)
    return Samples(asked[there], delivery[there], actual[there])


def means(quantiles: Floats, levels: tuple[float, ...] = LEVELS) -> Floats:
    """Means of distributions whose quantile functions are lines between `levels`, and flat beyond the outermost.

    `quantiles`: (n, levels); returns (n,). The mean is the integral of the quantile function over (0, 1).
    """
    ends = np.column_stack([quantiles[:, 0], quantiles, quantiles[:, -1]])
    found: Floats = np.trapezoid(ends, np.array([0.0, *levels, 1.0]), axis=1)
    return found


class QuantileModel(Protocol):
    """What was fitted."""

    def quantiles(self, history: PriceHistory, asked_ms: Times, delivery_ms: Times) -> Floats:
        """(n, levels) in USD/MWh, rising with the level; NaN where nothing is known."""


class QuantileMethod(Protocol):
    """A way to forecast."""

    def fit(self, history: PriceHistory, horizon: Horizon, now_ms: int) -> QuantileModel:
        """Learns from what was published before `now_ms`. Raises ValueError where that isn't enough."""


@dataclass(frozen=True, slots=True, eq=False)
class SpreadModel:
    """A point forecast plus, for each lead, the quantiles of its errors: `spread` is (intervals, levels)."""

    point: PointForecast
    horizon: Horizon
    spread: Floats

    def quantiles(self, history: PriceHistory, asked_ms: Times, delivery_ms: Times) -> Floats:
        """As in the protocol; a price that is known already is itself."""
        known = history.real_time.at(delivery_ms, asked_ms)[:, None]
        spread = self.spread[self.horizon.lead(asked_ms, delivery_ms)]
        return np.where(np.isnan(known), self.point(history, asked_ms, delivery_ms)[:, None] + spread, known)


@dataclass(frozen=True, slots=True)
class Spread:
    """A point forecast with the spread of its errors in the last `SPREAD_DAYS` days, at `levels`."""

    point: PointForecast
    levels: tuple[float, ...] = LEVELS

    def fit(self, history: PriceHistory, horizon: Horizon, now_ms: int) -> SpreadModel:
        """As in the protocol."""
        past = samples(history, horizon, start_ms=now_ms - SPREAD_DAYS * DAY_MS, end_ms=now_ms)
        error = past.actual - self.point(history, past.asked_ms, past.delivery_ms)
        lead = horizon.lead(past.asked_ms, past.delivery_ms)
        spread = np.empty((horizon.intervals, len(self.levels)))
        for number in range(horizon.intervals):
            errors = error[(lead == number) & ~np.isnan(error)]
            if not len(errors):
                raise ValueError(f"no past price to learn lead {number} from; history has to begin earlier")
            spread[number] = np.quantile(errors, self.levels)
        return SpreadModel(self.point, horizon, spread)


@dataclass(frozen=True, slots=True)
class Combined:
    """The quantiles of several models, averaged."""

    models: tuple[QuantileModel, ...]

    def quantiles(self, history: PriceHistory, asked_ms: Times, delivery_ms: Times) -> Floats:
        """As in the protocol."""
        found: Floats = np.mean([model.quantiles(history, asked_ms, delivery_ms) for model in self.models], axis=0)
        return found


@dataclass(frozen=True, slots=True)
class Combination:
    """Averages the quantiles of methods with the same levels (Vincentization: Ratcliff, Psychol. Bulletin 86, 1979).

    Errors of methods that err differently cancel out (Bates and Granger, Operational Research Quarterly 20, 1969).
    """

    methods: tuple[QuantileMethod, ...]

    def fit(self, history: PriceHistory, horizon: Horizon, now_ms: int) -> Combined:
        """As in the protocol."""
        return Combined(tuple(method.fit(history, horizon, now_ms) for method in self.methods))
